"""The eyes of a ``result`` message: texture and UV coordinates, checked (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .buffers import MOST_SMALL_PIXELS_A_SIDE, NamedBuffers, checked_field, malformed

MOST_PIXELS_A_SIDE = 8192


@dataclass(frozen=True)
class ResultEyes:
    """Texture and UV coordinates of both eyes.

    Attributes
    ----------
    picture_png : PNG file, 8-bit sRGB, row 0 is v = 1 of map ``Eye``; None if the job asked for the geometry only.
    uv : name of an eyeball -> (V, 2) float32 map ``Eye`` of its vertices, v up.
    picture_small_png : a small copy of the same picture; None without it.
    """

    picture_png: bytes | None
    uv: Mapping[str, np.ndarray]
    picture_small_png: bytes | None


def decode_eyes(named: NamedBuffers, entry: Mapping[str, Any], left: int, right: int) -> ResultEyes:
    """Check and decode a result's ``eyes``; ``left`` and ``right`` are the eyeballs' vertex counts.

    Raises ``AddonError`` ``malformed``.
    """
    picture = small = None
    if entry.get("picture") is not None:
        picture, _ = named.picture(checked_field(entry, "picture", str), MOST_PIXELS_A_SIDE)
        small, _ = named.picture(checked_field(entry, "picture_small", str), MOST_SMALL_PIXELS_A_SIDE)
    uv = {
        "eye_left": named.array(checked_field(entry, "uv_left", str), "<f4", (left, 2)),
        "eye_right": named.array(checked_field(entry, "uv_right", str), "<f4", (right, 2)),
    }
    if not all(np.abs(places).max() <= 100.0 for places in uv.values()):  # fails for NaN, too
        raise malformed("a place in the picture of its eyes is not finite or far too large")
    return ResultEyes(picture, uv, small)
