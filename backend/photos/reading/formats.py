"""Which files are photos: the formats that are read, and the endings that a folder is searched for."""

from __future__ import annotations

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
"""Pillow's name of a format -> the endings of its files, in small letters. What is read goes by the content alone."""
PHOTO_SUFFIXES = frozenset(suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes)
"""A folder is searched for these; a file that is named itself may be called anything."""
_SPOKEN = {"MPO": "JPEG", "WEBP": "WebP", "HEIF": "HEIC"}
"""What people call a format, where that is not Pillow's name; an MPO is a JPEG with a second picture."""
_NAMES = tuple(dict.fromkeys(_SPOKEN.get(name, name) for name in FORMAT_SUFFIXES))
FORMATS_TEXT = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
"""The formats in a sentence: ``JPEG, PNG ... or GIF``."""
GIVE_PHOTOS = f"Give {FORMATS_TEXT} files."
"""The advice where no photo could be read."""
