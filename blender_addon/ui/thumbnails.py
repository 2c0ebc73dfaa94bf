"""Small pictures of the photos in the list. Blender makes and caches them."""

from __future__ import annotations

import os

import bpy
import bpy.utils.previews

from ..backend_process.looks import Looks
from . import redraw

_files = Looks(os.path.isfile)
_photos: bpy.utils.previews.ImagePreviewCollection | None = None


def photo_icon(path: str) -> int:
    """Icon of a photo's thumbnail; 0 where the file is not there or the extension is not registered."""
    if _photos is None:
        return 0
    known = _photos.get(path)
    if known is None:
        absolute = bpy.path.abspath(path)
        found = _files.at(absolute, drawing=True)
        if found is None:
            redraw.soon()
        if not found:
            return 0
        known = _photos.load(path, absolute, "IMAGE")
    return known.icon_id


def register() -> None:
    global _photos
    _photos = bpy.utils.previews.new()


def unregister() -> None:
    global _photos
    if _photos is not None:
        bpy.utils.previews.remove(_photos)
    _photos = None
