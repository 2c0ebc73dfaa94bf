"""Blend the photos into one image of the skin in UV space, one frequency band at a time.

In: the photos and their consensus. Out: log offsets from the smooth albedo and the confidence of every texel. The
middle band is an average; each place of the fine band comes from its best photo (``frequency_bands``).
"""
