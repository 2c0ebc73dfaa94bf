"""The skin's relief as height maps in UV map ``Head``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.detail.groups import KEY_GROUPS

MIDDLE = 32768
"""Stored value of height 0."""


@dataclass(frozen=True)
class HeightMap:
    """Heights along the outward normal as 16-bit steps: millimetres = (steps - ``MIDDLE``) / ``MIDDLE`` * reach.

    Attributes
    ----------
    steps : (S, S) uint16, row 0 is the top (v = 1) of UV map ``Head``. reach : millimetres at the largest step.
    """

    steps: np.ndarray
    reach: float

    def millimetres(self) -> np.ndarray:
        """(S, S) float32 heights."""
        return (self.steps.astype(np.float32) - MIDDLE) * np.float32(self.reach / MIDDLE)


@dataclass(frozen=True)
class SkinDetail:
    """Relief of the skin at rest and under expressions.

    Attributes
    ----------
    always : relief at rest, pores included. wrinkles : name of a group of keys (``KEY_GROUPS``) -> height added by its
        keys at full strength. All wrinkle maps have the same size and reach.
    """

    always: HeightMap
    wrinkles: Mapping[str, HeightMap]

    def __post_init__(self) -> None:
        if tuple(self.wrinkles) != tuple(KEY_GROUPS):
            raise ValueError(f"wrinkles must be {tuple(KEY_GROUPS)}, not {tuple(self.wrinkles)}")
        kinds = {(one.steps.shape, one.reach) for one in self.wrinkles.values()}
        if len(kinds) != 1:
            raise ValueError("wrinkle maps must have one size and one reach")
        for one in (self.always, *self.wrinkles.values()):
            if one.steps.dtype != np.uint16 or one.steps.ndim != 2 or one.steps.shape[0] != one.steps.shape[1]:
                raise ValueError(f"a height map must be square and uint16, not {one.steps.shape} {one.steps.dtype}")
            if not 0 < one.reach < 100:
                raise ValueError(f"a height map's reach must be above 0 and below 100 mm, not {one.reach}")


def height_map(millimetres: np.ndarray, reach: float) -> HeightMap:
    """Quantise heights (S, S) in millimetres, clipped to ``reach``."""
    steps = np.clip(np.rint(millimetres * (MIDDLE / reach)), 1 - MIDDLE, MIDDLE - 1) + MIDDLE
    return HeightMap(steps.astype(np.uint16), float(reach))


def tangent_normals(millimetres: np.ndarray, texels_per_metre: float) -> np.ndarray:
    """(S, S, 3) uint8 normal map of heights (S, S): x right, y up, z out of the skin, 128 is 0 (OpenGL and glTF).

    ``texels_per_metre`` is the face's; elsewhere the relief is flatter or steeper as the map's scale differs.
    """
    down, right = np.gradient(millimetres.astype(np.float32) * np.float32(texels_per_metre / 1000.0))
    normal = np.stack([-right, down, np.ones_like(right)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.rint(127.5 + 127.5 * normal).astype(np.uint8)
