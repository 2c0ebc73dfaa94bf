"""Small pictures: of the 52 keys and of the hairstyles, from files, and of the photos in the list, by Blender."""

import os
import zlib
from pathlib import Path

import bpy
import bpy.utils.previews
import numpy as np

from .. import redraw
from ..backend_process.folders import Looks
from ..shared.names import ARKIT_NAMES
from ..shared.options import HAIR_STYLES

SHEET, HAIR_SHEET = (Path(__file__).with_name(f"{name}_pictures.png") for name in ("key", "hair"))
SIDE = 64
"""Side of a picture in pixels."""
_pictures: bpy.utils.previews.ImagePreviewCollection | None = None
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


def picture_icon(name: str) -> int:
    """Icon of a key's or a hairstyle's picture; 0 if there is none, in background mode, or before the extension is
    registered."""
    picture = None if _pictures is None else _pictures.get(name)
    return 0 if picture is None else picture.icon_id


def key_pictures() -> dict[str, np.ndarray]:
    """The picture of each of the 52 keys, (SIDE, SIDE, 3) uint8 sRGB, top row first. The file omits right sides that
    mirror a left one; they are mirrored here."""
    found = _cut(SHEET, sorted(name for name in ARKIT_NAMES if not _mirrors(name)))
    return found | {name: found[_mirrors(name)][:, ::-1] for name in ARKIT_NAMES if _mirrors(name)}


def _cut(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    sheet, found = read_sheet(path.read_bytes()), {}
    per_row = sheet.shape[1] // SIDE
    for index, name in enumerate(names):
        row, column = (SIDE * place for place in divmod(index, per_row))
        found[name] = sheet[row : row + SIDE, column : column + SIDE]
    return found


def read_sheet(png: bytes) -> np.ndarray:
    """Decode a PNG with an 8-bit palette and unfiltered rows to (H, W, 3) uint8. Blender's own reader would create an
    image in the artist's file. Raises ``ValueError`` for other PNGs."""
    chunks: dict[bytes, bytes] = {}
    place = 8  # after the signature
    while place < len(png):
        length, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        chunks[kind] = chunks.get(kind, b"") + png[place + 8 : place + 8 + length]
        place += 12 + length  # plus length, type and checksum
    width, height = (int.from_bytes(chunks[b"IHDR"][at : at + 4], "big") for at in (0, 4))
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    if chunks[b"IHDR"][8:] != bytes((8, 3, 0, 0, 0)) or rows.size != height * (width + 1):
        raise ValueError("no PNG with a palette of 8 bits")
    rows = rows.reshape(height, width + 1)
    if rows[:, 0].any():
        raise ValueError("rows of the PNG are filtered")
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]]


def _mirrors(name: str) -> str:
    """The left key whose mirror image a right key is, "" for others."""
    left = name.removesuffix("Right") + "Left"
    return left if name.endswith("Right") and left in ARKIT_NAMES else ""


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
    hair = _cut(HAIR_SHEET, [str(style.name) for style in HAIR_STYLES])  # of each style but the photos' own
    for name, picture in (key_pictures() | hair).items():
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
