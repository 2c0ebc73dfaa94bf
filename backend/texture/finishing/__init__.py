"""Compose the bands and the inpainted skin into the finished texture.

In: the bands of ``blending``, the skin of ``inpainting``, the eyes' colours. Out: log albedo of all skin (``compose``),
and linear colours in all other charts (``paint``).
"""
