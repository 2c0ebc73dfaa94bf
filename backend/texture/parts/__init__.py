"""What is not plain skin: eyes, mouth, lashes, brows that no photo shows, and the roots of hair on the scalp.

In: positions of texels, and what the photos show of these parts. Out: linear colours at the texels, or skin on which
the part is painted.
"""
