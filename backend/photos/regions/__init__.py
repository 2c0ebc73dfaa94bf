"""Masks of the parts of a face image, without the trained parsing net (``backend.models.parsing``).

In: a head crop and its landmarks. Out: masks of eyes, lips, brows, cheeks from landmarks (``polygons``), of a person
(``person``) and of hands (``hands``); also morphology and connected parts of masks (``masks``).
"""
