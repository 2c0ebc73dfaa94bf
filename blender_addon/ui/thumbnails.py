"""Thumbnails of the photos in the list, made and cached by Blender."""

from __future__ import annotations

import os

import bpy
import bpy.utils.previews

from .. import redraw
from ..backend_process.looks import Looks

NO_THUMBNAIL_SUFFIXES = (".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs")
"""Endings of photos that the backend reads but for which Blender makes blank thumbnails."""
_files = Looks(os.path.isfile)
_photos: bpy.utils.previews.ImagePreviewCollection | None = None


def photo_icon(path: str) -> int:
    """Icon of a photo's thumbnail; 0 if there is none, the file is missing or the extension is not registered."""
    if _photos is None or path.lower().endswith(NO_THUMBNAIL_SUFFIXES):
        return 0
    known = _photos.get(path)
    if known is None:
        if not photo_is_there(path):
            return 0
        known = _photos.load(path, bpy.path.abspath(path), "IMAGE")
    return known.icon_id


def photo_is_there(path: str) -> bool | None:
    """Whether the file exists; None if its drive does not respond, or not yet."""
    found = _files.at(bpy.path.abspath(path), drawing=True)
    if found is None:
        redraw.schedule()
    return found


def register() -> None:
    global _photos
    _photos = bpy.utils.previews.new()


def unregister() -> None:
    global _photos
    if _photos is not None:
        bpy.utils.previews.remove(_photos)
    _photos = None
