"""Photo files as sent to the backend and stored in a .blend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PhotoFile:
    """One photo: its label in the job, and the file's bytes or its path."""

    name: str
    data: bytes | None = None
    path: str | None = None

    def read(self) -> bytes | None:
        """The file's bytes, None if it cannot be read."""
        if self.data is not None:
            return self.data
        try:
            return Path(self.path).read_bytes() if self.path else None
        except OSError:
            return None


@dataclass(frozen=True)
class Turn:
    """Transform that makes a stored picture upright: mirror in x, then quarter turns clockwise."""

    mirrored: bool
    quarters: int


def blender_reads(data: bytes) -> bool:
    """Whether every Blender can show the format, from the file's first bytes (HEIC and AVIF: no)."""
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM")
    return data.startswith(starts) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


_TURN_OF_ORIENTATION = {
    1: Turn(False, 0),
    2: Turn(True, 0),
    3: Turn(False, 2),
    4: Turn(True, 2),
    5: Turn(True, 3),
    6: Turn(False, 1),
    7: Turn(True, 1),
    8: Turn(False, 3),
}
_ORIENTATION_TAG = 0x0112


def exif_turn(data: bytes) -> Turn:
    """The transform for a JPEG file's EXIF orientation; none for other files and for files without it."""
    return _TURN_OF_ORIENTATION.get(_jpeg_orientation(data), Turn(False, 0))


def _jpeg_orientation(data: bytes) -> int:
    if data[:2] != b"\xff\xd8":
        return 1
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return _tiff_orientation(data[at + 10 : at + 2 + length])
        if marker == 0xDA or length < 2:
            break
        at += 2 + length
    return 1


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None or len(tiff) < 10:
        return 1
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[entry : entry + 2], order) == _ORIENTATION_TAG:
            return int.from_bytes(tiff[entry + 8 : entry + 10], order)
    return 1
