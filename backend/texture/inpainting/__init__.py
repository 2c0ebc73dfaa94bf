"""Inpaint skin that no photo shows.

In: the photos, their consensus, and blended bands with holes. Out: the confidence of each texel, smooth skin and beard
for the rest (``skin``), and bands with filled holes (``fill``).
"""
