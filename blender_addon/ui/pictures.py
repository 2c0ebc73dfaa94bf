"""Small pictures: of the 52 keys and of the hairstyles, from files; of the photos in the list, by Blender; of the
head in progress, by the backend."""

import os
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from .. import redraw
from ..backend_process.folders import Looks
from ..shared.names import ARKIT_NAMES

SIDE = 64
"""Side of a picture in pixels."""
_pictures: bpy.utils.previews.ImagePreviewCollection | None = None
NO_THUMBNAIL_SUFFIXES = (".gif", ".heic", ".heics", ".heif", ".heifs", ".hif", ".avif", ".avifs")
"""Endings of photos that the backend reads but for which Blender makes blank thumbnails."""
_files = Looks(os.path.isfile)
_photos: bpy.utils.previews.ImagePreviewCollection | None = None
_shown: bytes | None = None


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


def preview_icon(png: bytes) -> int:
    """Icon of the head in progress, of which the backend sent this picture."""
    global _shown
    path = str(Path(bpy.app.tempdir, "likeness_preview.png"))
    known = _photos.get(path)
    if png is not _shown or known is None:
        _shown = png
        Path(path).write_bytes(png)
        known.reload() if known else _photos.load(path, path, "IMAGE")
    return _photos[path].icon_id


def photo_is_there(path: str) -> bool | None:
    """Whether the file exists; None if its drive does not respond, or not yet."""
    found = _files.at(bpy.path.abspath(path), drawing=True)
    if found is None:
        redraw.schedule()
    return found


def picture_icon(name: str) -> int:
    """Icon of a key's or a hairstyle's picture; 0 if there is none, in background mode, or before the extension is
    registered."""
    picture = None if _pictures is None else _pictures.get(name)
    return 0 if picture is None else picture.icon_id


def read_pictures(sheet: str) -> dict[str, np.ndarray]:
    """The pictures of ``sheet``, ``key`` or ``hair``, by name: (SIDE, SIDE, 3) uint8 sRGB, top row first. The file
    omits keys of the right side that mirror a left one; they are mirrored here."""
    with np.load(Path(__file__).with_name(f"{sheet}_pictures.npz"), allow_pickle=False) as file:
        found = {name: file["palette"][file[name]] for name in file.files if name != "palette"}
    right = {name.removesuffix("Left") + "Right": picture[:, ::-1] for name, picture in found.items()}
    return {name: right[name] for name in right.keys() & set(ARKIT_NAMES) - found.keys()} | found


def _pixels(picture: np.ndarray) -> np.ndarray:
    """Pixels in Blender's layout: red, green, blue, opaque, bottom row first."""
    opaque = np.ones((*picture.shape[:2], 4), np.float32)
    opaque[..., :3] = picture[::-1] / 255.0
    return opaque.ravel()


def register() -> None:
    """Load the pictures into Blender: full size, and half size as icons."""
    global _pictures, _photos
    _photos = bpy.utils.previews.new()
    _pictures = bpy.utils.previews.new()
    for name, picture in (read_pictures("key") | read_pictures("hair")).items():
        kept = _pictures.new(name)
        kept.image_size = (SIDE, SIDE)
        kept.image_pixels_float.foreach_set(_pixels(picture))
        half = picture.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean((1, 3))
        kept.icon_size = half.shape[:2]
        kept.icon_pixels_float.foreach_set(_pixels(half))


def unregister() -> None:
    """Remove the pictures."""
    global _pictures, _photos
    for previews in (_pictures, _photos):
        if previews is not None:
            bpy.utils.previews.remove(previews)
    _pictures = _photos = None
