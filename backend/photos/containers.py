"""What a photo's container says: colour coding by numbers (nclx, cICP) and JPEGs inside, and the way to sRGB.

The numbers are those of ITU-T H.273: colour primaries and transfer characteristics. HEIC and AVIF have them in a box
``colr`` of kind ``nclx``, PNG in a chunk ``cICP``. Pillow leaves them alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np

from backend.photos.formats import READING

_BT709, _BT2020, _P3_THEATRE, _P3 = 1, 9, 11, 12
_GAMMA_22, _GAMMA_28, _LINEAR, _PQ, _HLG = 4, 5, 8, 16, 18
_WHITE_PQ = 203.0
"""cd/m2 of diffuse white in PQ (BT.2408); brighter light is clipped."""
_WHITE_HLG = 0.265
"""Scene light of diffuse white in HLG, coded as 75 % (BT.2408)."""
_TO_BT709 = {  # linear RGB of other primaries -> linear RGB of BT.709 and sRGB; white D65
    _BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    _P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}
_TO_BT709[_P3_THEATRE] = _TO_BT709[_P3]
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_MOST_JPEGS, _MOST_SEGMENTS = 64, 256


@dataclass(frozen=True)
class ColorCoding:
    """Colour primaries and transfer characteristics by their numbers in H.273."""

    primaries: int
    transfer: int

    @property
    def is_srgb(self) -> bool:
        """Whether the pixels can be taken as sRGB: everything unknown, and television's curve, which photos mean so."""
        return self.primaries not in _TO_BT709 and self.transfer not in (_GAMMA_22, _GAMMA_28, _LINEAR, _PQ, _HLG)


def color_coding(data: bytes) -> ColorCoding | None:
    """The coding of a HEIC, AVIF or PNG file's picture; None where it says none, or one that equals sRGB."""
    coding = None
    if data[4:8] == b"ftyp":
        coding = _primary_coding(data)
    elif data.startswith(b"\x89PNG") and 0 < (place := data.find(b"cICP", 0, 4096)) + 8 <= len(data):
        coding = ColorCoding(data[place + 4], data[place + 5])
    return None if coding is None or coding.is_srgb else coding


def _primary_coding(data: bytes) -> ColorCoding | None:
    """The ``nclx`` of the file's primary item; None where it has none."""
    try:
        meta = dict(_boxes(data, 0, len(data)))[b"meta"]
        inside = dict(_boxes(data, meta[0] + 4, meta[1]))
        properties = dict(_boxes(data, *inside[b"iprp"]))
        listed = list(_boxes(data, *properties[b"ipco"]))
        version = data[inside[b"pitm"][0]]
        primary = int.from_bytes(data[inside[b"pitm"][0] + 4 :][: 2 if version == 0 else 4], "big")
        for index in _property_indices(data, *properties[b"ipma"], primary):
            kind, (start, stop) = listed[index - 1]
            if kind == b"colr" and data[start : start + 4] == b"nclx" and stop - start >= 11:
                return ColorCoding(*struct.unpack(">HH", data[start + 4 : start + 8]))
    except (KeyError, IndexError, struct.error):
        return None
    return None


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """(kind, (start, stop) of the content) of the ISO boxes between two offsets."""
    while start + 8 <= stop:
        size, kind = struct.unpack(">I4s", data[start : start + 8])
        head = 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = stop if size == 0 else start + size
        if (size != 0 and size < head) or end > stop:
            return
        yield kind, (start + head, end)
        start = end


def _property_indices(data: bytes, start: int, stop: int, item: int) -> list[int]:
    """Indices from 1 of the properties that box ``ipma`` associates with an item."""
    version, flags = data[start], data[start + 3]
    width = 2 if version == 0 else 4
    count = int.from_bytes(data[start + 4 : start + 8], "big")
    place = start + 8
    for _ in range(count):
        if place + width >= stop:
            break
        number, many = int.from_bytes(data[place : place + width], "big"), data[place + width]
        place += width + 1
        step = 2 if flags & 1 else 1
        if number == item:
            mask = 0x7FFF if flags & 1 else 0x7F
            return [int.from_bytes(data[place + step * k : place + step * (k + 1)], "big") & mask for k in range(many)]
        place += step * many
    return []


def coded_to_srgb(image: Image.Image, coding: ColorCoding) -> Image.Image:
    """An RGB image of ``coding`` in sRGB; light above diffuse white is clipped."""
    import numpy as np  # imported here, because most photos do not need it

    linear = _linear_of_levels(coding.transfer).astype(np.float32)
    matrix = np.array(_TO_BT709.get(coding.primaries, np.eye(3)), np.float32)
    levels = np.round(255.0 * _srgb_of_linear(np.linspace(0.0, 1.0, 65536))).astype(np.uint8)
    result = Image.new("RGB", image.size)
    rows = max(READING.band_pixels // image.width, 1)
    for top in range(0, image.height, rows):
        band = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        light = np.clip(linear[band] @ matrix.T, 0.0, 1.0)
        result.paste(Image.fromarray(levels[np.round(65535.0 * light).astype(np.uint16)]), (0, top))
    return result


def _linear_of_levels(transfer: int) -> np.ndarray:
    """(256,) linear light of each level, 1 at diffuse white."""
    import numpy as np

    signal = np.arange(256) / 255.0
    if transfer == _PQ:  # SMPTE ST 2084
        root = signal ** (1.0 / 78.84375)
        return (
            10_000.0
            / _WHITE_PQ
            * (np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1.0 / 0.1593017578125)
        )
    if transfer == _HLG:  # BT.2100, the inverse of the camera's curve
        scene = np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        return scene / _WHITE_HLG
    if transfer in (_GAMMA_22, _GAMMA_28, _LINEAR):
        return signal ** {_GAMMA_22: 2.2, _GAMMA_28: 2.8, _LINEAR: 1.0}[transfer]
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _srgb_of_linear(light: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def largest_jpeg(data: bytes, least_pixels: int) -> tuple[int, int] | None:
    """(offset, pixels) of the largest JPEG inside a file with at least ``least_pixels`` that Pillow can read (8 bits,
    not lossless, unlike a raw file's own picture); None without one."""
    best, place = None, data.find(b"\xff\xd8\xff")
    for _ in range(_MOST_JPEGS):
        if place < 0:
            break
        pixels = _jpeg_pixels(data, place)
        if pixels >= least_pixels and (best is None or pixels > best[1]):
            best = place, pixels
        place = data.find(b"\xff\xd8\xff", place + 3)
    return best


def _jpeg_pixels(data: bytes, start: int) -> int:
    """Width times height of the JPEG at ``start``; 0 for one that is broken or of a kind that is not read."""
    place = start + 2
    for _ in range(_MOST_SEGMENTS):
        if place + 9 > len(data) or data[place] != 0xFF:
            return 0
        marker = data[place + 1]
        if marker in _SIZE_MARKERS:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return 0 if marker in _LOSSLESS or data[place + 4] != 8 else width * height
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0
