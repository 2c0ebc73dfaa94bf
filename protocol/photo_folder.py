"""The photos in a folder: which files are photos, in which order, which are left out with a word; and the pictures
that Likeness writes, which are none."""

from __future__ import annotations

import os
import re
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

FORMAT_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
}
"""Pillow's name of a format -> its file suffixes in lower case. Reading depends on the content alone."""
PHOTO_SUFFIXES = tuple(suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes)
"""Suffixes searched for in a folder; a file given by name may have any."""
RAW_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos", "mrw", "nef"),
        *("nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
"""Suffixes of cameras' raw files."""
MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf")
"""Suffixes of files with a head's mesh, read where they are given by name."""
FILM_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
FILM_SENTENCE = "It is a film; give it by its name."
RAW_SENTENCE = "It is a camera's raw file; export it as JPEG, or give it by its name to use the preview in it."
OWN_SENTENCE = "Likeness made it from photos, so it is none itself."

_KEYWORD = b"Software\0Likeness"
OWN_CHUNK = struct.pack(">I4s", len(_KEYWORD), b"tEXt") + _KEYWORD + struct.pack(">I", zlib.crc32(b"tEXt" + _KEYWORD))
"""PNG chunk, written behind ``IHDR``, by which a picture of Likeness is recognised."""
PNG_HEADER_BYTES = 33
"""Length of a PNG file's signature and ``IHDR``."""
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # of PNG, by the number of channels
_UP = 2  # PNG's number of the filter
_REPORT = "report.json"
_OWN_NAMES = frozenset(["albedo.png", "eyes.png", "hair.png", "normal.png", "displacement.png", "preview.png"])
"""Pictures that a reconstruction writes beside ``report.json``; ``wrinkles_*.png`` come on top."""


@dataclass(frozen=True)
class PhotoFolder:
    """Files of a folder, each in the order of their names.

    photos : files to read. raw : cameras' raw files. own : pictures that Likeness made. films : films.
    """

    photos: tuple[Path, ...]
    raw: tuple[Path, ...]
    own: tuple[Path, ...]
    films: tuple[Path, ...] = ()


def is_mesh(name: str) -> bool:
    """Whether a file of this name is read as a mesh of a head."""
    return os.path.splitext(name)[1].lower() in MESH_SUFFIXES


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key of a file's name in which numbers count as numbers: ``a2`` before ``a10``."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def photo_folder(folder: Path) -> PhotoFolder:
    """Sort the files directly in a folder. Raises ``OSError`` if it cannot be read."""
    names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=natural_key)
    beside_report = _REPORT in names
    photos, raw, drawn, films = [], [], [], []
    for name in names:
        path, suffix = Path(folder) / name, os.path.splitext(name)[1].lower()
        if suffix not in (*PHOTO_SUFFIXES, *FILM_SUFFIXES) and suffix not in RAW_SUFFIXES:
            continue
        if not path.is_file():
            continue
        if suffix in RAW_SUFFIXES:
            raw.append(path)
        elif suffix in FILM_SUFFIXES:
            films.append(path)
        elif (beside_report and _own_name(name)) or is_own_picture(path):
            drawn.append(path)
        else:
            photos.append(path)
    return PhotoFolder(tuple(photos), tuple(raw), tuple(drawn), tuple(films))


@dataclass(frozen=True)
class PersonFolder:
    """One person of a folder of people: the folder's name, its path, and the photos directly in it."""

    name: str
    folder: Path
    photos: tuple[Path, ...]


def people_folder(folder: Path) -> list[PersonFolder]:
    """The people in a folder that has a folder of photos for each; folders without photos, or that cannot be read, are
    skipped. Raises ``OSError`` if ``folder`` cannot be read."""
    people = []
    for name in sorted(os.listdir(folder), key=natural_key):
        with suppress(OSError):
            if not name.startswith(".") and (photos := photo_folder(Path(folder) / name).photos):
                people.append(PersonFolder(name, Path(folder) / name, photos))
    return people


def _own_name(name: str) -> bool:
    return name in _OWN_NAMES or (name.startswith("wrinkles_") and name.endswith(".png"))


def is_own_picture(path: Path) -> bool:
    """Whether a file is a PNG that Likeness wrote; False where it cannot be read."""
    if os.path.splitext(path)[1].lower() != ".png":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        return False
    with os.fdopen(descriptor, "rb") as file:
        try:
            return is_own(file.read(PNG_HEADER_BYTES + len(OWN_CHUNK)))
        except OSError:
            return False


def is_own(data: bytes) -> bool:
    """Whether a PNG file with these bytes at its start was written by Likeness."""
    return data[PNG_HEADER_BYTES : PNG_HEADER_BYTES + len(OWN_CHUNK)] == OWN_CHUNK


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encode (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, uint8 or uint16, as a PNG file; deterministic.

    Rows are differences from the row above, and only run lengths are searched: skin, normals and heights have no other
    repetition. That takes a quarter of the time of zlib's usual search at level 4. The file is marked as made by
    Likeness, so that it is never read as a photo.
    """
    import numpy as np  # here, because help of the command line names formats only

    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0], filtered[0, 1:] = _UP, rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    deflate = zlib.compressobj(zlib.Z_BEST_SPEED, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    kind = _COLOUR_TYPES[pixels.shape[2] if pixels.ndim == 3 else 1]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    data = _chunk(b"IDAT", deflate.compress(filtered) + deflate.flush()) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + OWN_CHUNK + data


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
