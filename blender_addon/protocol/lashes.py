"""Single lashes of a ``result`` message: texture and UV coordinates, checked (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .buffers import NamedBuffers, checked_field, malformed

MOST_PIXELS_A_SIDE = 4096


@dataclass(frozen=True)
class ResultLashes:
    """Texture of single hairs for the part ``lashes``.

    Attributes
    ----------
    picture_png : PNG file, 8-bit sRGB with opacity.
    places : (V, 2) float32 UV coordinates of the part's vertices in it, v up.
    """

    picture_png: bytes
    places: np.ndarray


def decode_lashes(named: NamedBuffers, entry: Mapping[str, Any], count: int) -> ResultLashes:
    """Check and decode a result's ``lashes``; ``count`` is the part's number of vertices.

    Raises ``AddonError`` ``malformed``.
    """
    picture, _ = named.picture(checked_field(entry, "picture", str), MOST_PIXELS_A_SIDE)
    places = named.array(checked_field(entry, "places", str), "<f4", (count, 2))
    if not np.abs(places).max() <= 100.0:  # fails for NaN, too
        raise malformed("a place in the picture of its lashes is not finite or far too large")
    return ResultLashes(picture, places)
