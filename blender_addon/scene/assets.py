"""A head as an asset: what Blender's Asset Browser says and shows of it."""

from __future__ import annotations

import bpy
import numpy as np

from . import tags
from .portrait import SIDE_PIXELS, portrait

TAGS = ("Likeness", "head")
CATALOGUE_ID = "6d2f0c7e-5b3a-4c55-9a53-0e8d4f1b7a26"
"""Of the catalogue ``Likeness/Heads`` wherever nobody has given it another: drawn once, so that folders agree."""


def mark_as_asset(collection: bpy.types.Collection, catalogue: str = CATALOGUE_ID, pictured: bool = True) -> None:
    """Mark a head's collection as an asset, or bring its description, tags, catalogue and picture up to date.

    Tags that somebody has added stay. ``pictured`` draws the preview, which takes about a second; a window does it in
    slices instead (``portrait_steps``, ``put_picture``).
    """
    collection.asset_mark()
    data = collection.asset_data
    photos = sum(bool(photo["used"]) for photo in collection.get(tags.PHOTOS, ()))
    data.description = f"Head from {photos} photo{'' if photos == 1 else 's'}, with 52 shape keys"
    data.catalog_id = catalogue
    for tag in TAGS:
        data.tags.new(tag, skip_if_exists=True)
    if pictured:
        put_picture(collection, portrait(collection))


def put_picture(collection: bpy.types.Collection, picture: np.ndarray) -> None:
    """Have the Asset Browser show (SIDE_PIXELS, SIDE_PIXELS, 4) display colours and opacity of a head."""
    preview = collection.preview_ensure()
    preview.image_size = (SIDE_PIXELS, SIDE_PIXELS)
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(picture).ravel())
