"""Single lashes: an image of tapering hairs, and the strips' UVs in it."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from backend.exchange.face_asset import FaceAsset
from backend.exchange.lash_strips import lash_strips
from backend.rendering.color import srgb_from_linear
from backend.texture.parts.mouth import LASHES

WIDTH, HEIGHT = 1024, 512
"""Pixels: a strip is 33 mm long at the lid, so a hair of 0.1 mm is three pixels wide. Upper lashes are the upper half
of the image, lower ones the lower half; roots lie at the lower edge of each, the eye's inner corner at the left."""
_SUPERSAMPLING = 2
"""Supersampling factor per side."""
_MARGIN = 0.02
"""Fraction of a half's height left empty above and below the hairs, so that filtering does not mix the halves."""
_UPPER_HAIRS, _LOWER_HAIRS = 120, 62
"""People have 90 to 160 and 75 to 80. Lower lashes are fainter, and hairs thinner than a pixel flicker."""
_UPPER_LENGTH, _LOWER_LENGTH = 0.95, 0.62
"""Longest hairs, as a fraction of the strip's width, which is up to 11 mm on the upper lid and 8 on the lower."""
_UPPER_PIXELS, _LOWER_PIXELS = 3.4, 2.6
"""Width of a hair at its root, pixels."""
_CLUMP_SIZE = 3
"""Hairs per clump; their tips lean towards each other."""
_SEED = 3


def lash_places(asset: FaceAsset) -> np.ndarray | None:
    """(V, 2) float32 UVs of part ``lashes`` in ``lash_picture``, v up; None if its pieces are not strips. The number of
    hairs per millimetre of lid edge is constant, so hairs fan out with the strips."""
    places = np.full((len(asset.part("lashes").vertices), 2), -1.0, np.float32)
    for strip in lash_strips(asset):
        grid = strip.grid()
        if grid is None:
            return None
        points = strip.points[grid]
        if abs(points[0, 0, 0]) > abs(points[0, -1, 0]):  # the nose is at x = 0
            grid, points = grid[:, ::-1], points[:, ::-1]
        along = np.cumsum(np.r_[0.0, np.linalg.norm(np.diff(points[0], axis=0), axis=-1)])
        across = np.cumsum(np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=-1), axis=0)
        up = _MARGIN + (1 - 2 * _MARGIN) * across / np.maximum(across[-1], 1e-9)
        places[strip.members[grid], 0] = along / max(along[-1], 1e-9)
        places[strip.members[grid], 1] = 0.5 * (up + strip.upper)
    return None if (places < 0).any() else places


@cache
def lash_picture() -> np.ndarray:
    """(HEIGHT, WIDTH, 4) uint8: one sRGB colour, opaque on hairs; row 0 is v = 1. Deterministic."""
    random = np.random.default_rng(_SEED)
    lower = _hairs(random, _LOWER_HAIRS, _LOWER_LENGTH, _LOWER_PIXELS)
    upper = _hairs(random, _UPPER_HAIRS, _UPPER_LENGTH, _UPPER_PIXELS)
    picture = np.empty((HEIGHT, WIDTH, 4), np.uint8)
    picture[..., :3] = np.round(255 * srgb_from_linear(LASHES))
    picture[..., 3] = np.concatenate([lower, upper])[::-1]
    picture.setflags(write=False)
    return picture


def _hairs(random: np.random.Generator, count: int, longest: float, pixels: float) -> np.ndarray:
    """(HEIGHT / 2, WIDTH) uint8 opacity of a row of hairs, roots in row 0."""
    high, wide = HEIGHT // 2 * _SUPERSAMPLING, WIDTH * _SUPERSAMPLING
    drawn = np.zeros((high, wide), np.uint8)
    clumps = random.uniform(0.0, 1.0, count // _CLUMP_SIZE)
    way = np.linspace(0.0, 1.0, 24)
    for number in range(count):
        root = (number + random.uniform(-0.6, 0.6)) / count
        clump = clumps[np.abs(clumps - root).argmin()]
        pull = 0.55 * (clump - root) if abs(clump - root) < 0.02 else 0.0
        lean = 0.05 * (root - 0.42) + random.normal(0.0, 0.004)  # away from the middle
        length = longest * (1.0 - 0.72 * abs(root - 0.6) ** 1.5) * random.uniform(0.68, 1.0)
        across = (root + lean * way**1.6 + pull * way**1.3) * wide
        up = (_MARGIN + (1 - 2 * _MARGIN) * length * way) * high
        thick = _SUPERSAMPLING * (0.5 * pixels * (1.0 - way**1.4) * random.uniform(0.75, 1.1) + 0.25)
        points = np.round(16 * np.stack([across, up], axis=-1)).astype(int)
        for start, end, line in zip(points[:-1], points[1:], thick[:-1], strict=True):
            cv2.line(drawn, start, end, 255, max(1, round(line)), cv2.LINE_AA, shift=4)
    return cv2.resize(drawn, (WIDTH, HEIGHT // 2), interpolation=cv2.INTER_AREA)
