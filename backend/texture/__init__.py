"""Photos of a fitted face to its albedo: unwrapping, delighting, blending, filling in what no photo shows, parts.

``albedo.build_albedo`` takes the fitted face, the photos that the fit used, and the hair. One sRGB picture in the
template's ``Head`` UV map comes out, free of light, for skin, eyes and mouth.
"""
