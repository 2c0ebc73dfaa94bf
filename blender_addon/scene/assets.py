"""A head as an asset: its description, tags, catalogue and preview in Blender's Asset Browser."""

from __future__ import annotations

import bpy
import numpy as np

from . import tags
from .portrait import SIDE_PIXELS, portrait

TAGS = ("Likeness", "head")
CATALOGUE_ID = "6d2f0c7e-5b3a-4c55-9a53-0e8d4f1b7a26"
"""Id of the catalogue ``Likeness/Heads`` unless a library already has another one; fixed, so that folders agree."""


def mark_as_asset(collection: bpy.types.Collection, catalogue: str = CATALOGUE_ID, pictured: bool = True) -> None:
    """Mark a head's collection as an asset, or update its description, tags, catalogue and preview.

    Tags added by the user stay. ``pictured`` draws the preview, which takes about a second; in a window it is drawn in
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
    """Set the asset's preview: (SIDE_PIXELS, SIDE_PIXELS, 4) display colours and opacity."""
    preview = collection.preview_ensure()
    preview.image_size = (SIDE_PIXELS, SIDE_PIXELS)
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(picture).ravel())
