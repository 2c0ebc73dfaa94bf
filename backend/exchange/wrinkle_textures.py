"""Wrinkle maps as textures of ``face.glb``, described in ``extras`` because glTF has no standard (docs/files.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from backend.detail.groups import KEY_GROUPS
from backend.detail.skin_detail import SkinDetail
from backend.exchange.face_asset import FacePart
from backend.exchange.part_texels import part_texels_per_metre

EXTRAS_VERSION = 1
MOST_TEXELS = 512
"""Texels a side: 0.75 mm each on the face; skin lines are 4 mm apart or more. 1,024 take three times the bytes."""
PACKED = 3
"""Groups of keys per image, in its red, green and blue channels."""
ZERO = 128
"""Stored value of height 0; 1 and 255 are minus and plus the reach."""
SIDE_BLEND_RANGE = (0.47, 0.53)
"""u of map ``Head`` between which the right side's keys (below) blend into the left side's: smoothstep."""


@dataclass(frozen=True)
class WrinkleTexture:
    """Heights of up to three groups.

    Attributes
    ----------
    pixels : (S, S, 3) uint8, row 0 is v = 1: metres outwards = (value - ``ZERO``) / 127 * the channel's reach.
    groups : names. reaches : metres, one per group.
    """

    pixels: np.ndarray
    groups: tuple[str, ...]
    reaches: tuple[float, ...]


def wrinkle_textures(detail: SkinDetail) -> tuple[WrinkleTexture, ...]:
    """Heights of all groups, ``PACKED`` per image, at most ``MOST_TEXELS`` a side.

    The reach of each channel is its own deepest wrinkle, because programs read only 8 bits: over the 4 mm reach of the
    other files, one step would be as deep as a fine line.
    """
    names = list(detail.wrinkles)
    textures = []
    for first in range(0, len(names), PACKED):
        group = tuple(names[first : first + PACKED])
        heights = [_smaller(detail.wrinkles[name].millimetres()) * np.float32(1e-3) for name in group]
        reaches = tuple(max(float(np.abs(one).max()), 1e-6) for one in heights)
        pixels = np.full((*heights[0].shape, PACKED), ZERO, np.uint8)
        for channel, (one, reach) in enumerate(zip(heights, reaches, strict=True)):
            pixels[..., channel] = np.rint(one * (127.0 / reach)).astype(np.int16) + ZERO
        textures.append(WrinkleTexture(pixels, group, reaches))
    return tuple(textures)


def wrinkle_extras(textures: Sequence[WrinkleTexture], indices: Sequence[int], head: FacePart) -> dict[str, object]:
    """Build the block ``wrinkles`` of the skin's ``extras``, from JSON types only.

    Parameters
    ----------
    indices : of the glTF textures, one for each of ``textures``. head : gives the map's scale.
    """
    entries = [
        {
            "name": name,
            "keys": list(KEY_GROUPS[name]),
            "texture": index,
            "channel": channel,
            "reach": round(reach, 9),
        }
        for texture, index in zip(textures, indices, strict=True)
        for channel, (name, reach) in enumerate(zip(texture.groups, texture.reaches, strict=True))
    ]
    size = textures[0].pixels.shape[0]
    return {
        "version": EXTRAS_VERSION,
        "texCoord": 0,
        "unit": "metre",
        "zero": ZERO,
        "sidesMeet": list(SIDE_BLEND_RANGE),
        "mapSide": round(size / part_texels_per_metre(head, size), 6),
        "groups": entries,
    }


def _smaller(heights: np.ndarray) -> np.ndarray:
    side = min(MOST_TEXELS, heights.shape[0])
    if side == heights.shape[0]:
        return heights
    return cv2.resize(heights, (side, side), interpolation=cv2.INTER_AREA)
