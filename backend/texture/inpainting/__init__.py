"""Skin where no photo shows any.

In: the photos, their consensus, and blended bands with holes. Out: how far each texel of the photos is trusted, smooth
skin and beard for the rest (``skin``), and bands whose holes are filled (``fill``).
"""
