"""Project the photos onto the head's surface.

In: the template, the fit and its photos. Out: a ``HeadSurface`` with its atlases, and the selected photos, each with
its colours, labels and weights at the texels and vertices (``photo_selection.TexturePhoto``).
"""
