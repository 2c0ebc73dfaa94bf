"""Photos to the surface: the head's mesh and UV map, and each photo laid onto them.

In: the template, the fit and its photos. Out: a ``HeadSurface`` with its atlases, and the photos worth using, each with
its colours, labels and weights at the texels and vertices (``photo_selection.TexturePhoto``).
"""
