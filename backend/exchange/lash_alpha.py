"""Opacity of the lashes: MakeHuman's lashes are strips, dense at the lid and thinner towards their tips."""

from __future__ import annotations

import numpy as np

from backend.exchange.face_asset import FaceAsset
from backend.exchange.lash_strips import LashStrip, lash_strips

UPPER_ALPHA, LOWER_ALPHA = 1.0, 0.45
"""Alpha at the lid's edge."""

FALL_OFF = 0.9
"""Exponent: alpha is (1 - t)**FALL_OFF, t from 0 at the lid to 1 at the tips."""


def lash_alpha(asset: FaceAsset) -> np.ndarray:
    """(V,) float32 alpha in [0, 1] of the vertices of part ``lashes``.

    Pieces that are not strips (``lash_strips``) are opaque.
    """
    alpha = np.ones(len(asset.part("lashes").vertices), np.float32)
    for strip in lash_strips(asset):
        alpha[strip.members] = (UPPER_ALPHA if strip.upper else LOWER_ALPHA) * (1 - strip.share) ** FALL_OFF
        alpha[strip.members] *= _relative_density(strip)
    return alpha


def _relative_density(strip: LashStrip) -> np.ndarray:
    """(P,) factor in (0, 1] that lowers opacity where hairs are farther apart than elsewhere in their row of a strip.

    A lid has the same number of hairs on each millimetre of its edge. At the outer corner ``hm08``'s strips fan out
    from a very short edge; with the same opacity as elsewhere they would be a dark blot there.
    """
    grid = strip.grid()
    if grid is None:
        return np.ones(len(strip.members))
    step = np.linalg.norm(np.diff(strip.points[grid], axis=1), axis=-1)  # (R, C - 1)
    step = 0.5 * (np.pad(step, ((0, 0), (1, 0)), "edge") + np.pad(step, ((0, 0), (0, 1)), "edge"))
    hairs = step[0] / np.maximum(step, 1e-9)
    share = np.minimum(1.0, hairs / np.median(hairs, axis=1, keepdims=True))
    return np.round(share, 4)[strip.row, strip.column]
