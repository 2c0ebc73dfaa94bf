"""Albedo texture of a fitted face from its photos: unwrapping, delighting, blending, inpainting and painted parts.

``albedo.build_albedo`` takes the fitted face, the photos used by the fit, and the hair. It returns one sRGB image in
the template's ``Head`` UV map, without lighting, for skin, eyes and mouth.
"""
