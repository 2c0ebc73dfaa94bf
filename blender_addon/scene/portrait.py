"""A head as an asset: its description, tags, catalogue and picture in Blender's Asset Browser."""

from __future__ import annotations

import bpy
import numpy as np

from . import tags

TAGS = ("Likeness", "head")
CATALOGUE_ID = "6d2f0c7e-5b3a-4c55-9a53-0e8d4f1b7a26"
"""Id of the catalogue ``Likeness/Heads`` unless a library already has another one; fixed, so that folders agree."""


def mark_as_asset(collection: bpy.types.Collection, catalogue: str = CATALOGUE_ID) -> None:
    """Mark a head's collection as an asset, or update its description, tags, catalogue and preview, which is the
    backend's portrait of the head. Tags added by the user stay."""
    collection.asset_mark()
    data = collection.asset_data
    photos = sum(bool(photo["used"]) for photo in collection.get(tags.PHOTOS, ()))
    data.description = f"Head from {photos} photo{'' if photos == 1 else 's'}, with 52 shape keys"
    data.catalog_id = catalogue
    for tag in TAGS:
        data.tags.new(tag, skip_if_exists=True)
    portrait = collection.get(tags.PORTRAIT)
    if portrait is None:
        return
    pixels = np.empty(len(portrait.pixels), np.float32)
    portrait.pixels.foreach_get(pixels)
    preview = collection.preview_ensure()
    preview.image_size = tuple(portrait.size)
    preview.image_pixels_float.foreach_set(pixels)
