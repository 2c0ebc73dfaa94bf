"""Parts of a picture of a face as masks, without a trained parsing net (that one is ``backend.models.parsing``).

In: a head crop and its landmarks. Out: masks of eyes, lips, brows, cheeks by their landmarks (``polygons``), of a
person (``person``) and of hands (``hands``); and masks grown or reduced to connected parts (``masks``).
"""
