"""Supported photo formats, and the file suffixes searched for in a folder."""

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
"""Pillow's name of a format -> its file suffixes in lower case. Reading depends on the content alone."""
PHOTO_SUFFIXES = frozenset(suffix for suffixes in FORMAT_SUFFIXES.values() for suffix in suffixes)
"""Suffixes searched for in a folder; a file given by name may have any."""
_SPOKEN = {"MPO": "JPEG", "WEBP": "WebP", "HEIF": "HEIC"}
"""Common name of a format where Pillow's differs; an MPO is a JPEG with a second image."""
_NAMES = tuple(dict.fromkeys(_SPOKEN.get(name, name) for name in FORMAT_SUFFIXES))
FORMATS_TEXT = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
"""The formats in a sentence: ``JPEG, PNG ... or GIF``."""
FORMATS_ADVICE = f"Give {FORMATS_TEXT} files."
"""Advice when no photo could be read."""
