"""Many photos to one picture of the skin in UV space, frequency band by frequency band.

In: the photos and their consensus. Out: the middle frequencies, averaged, and the finest, from the best photo of each
place (``frequency_bands``), as log offsets from the smooth albedo; and how surely photos show each texel.
"""
