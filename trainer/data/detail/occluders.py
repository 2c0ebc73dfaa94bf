"""Occluders in photos of synthetic skin: hair strands and rims of glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from trainer.data.detail.relief import Cause

DARK = 0.93
"""Share of the light that dark hair and dark frames of glasses absorb."""
_STRAND_WIDTH = (0.3, 0.6)
"""Millimetres, width of a strand: a few hairs side by side, each 0.05 to 0.1 mm thick."""
_RIM_WIDTH, _LENS_HALF = 2.0, (24.0, 19.0)
"""Millimetres: width of a frame of glasses, and half the size of a lens, across and down."""


@dataclass(frozen=True)
class FaceOccluders:
    """Occluders in front of the face, and how far the parsing detects them.

    Attributes
    ----------
    opacity : (N, N) float32 in [0, 1]. weight : (N, N) float32 in [0, 1], how far the parsing labels a texel as skin.
    """

    opacity: np.ndarray
    weight: np.ndarray


def strands(g: np.random.Generator, cause: Cause, count: int) -> np.ndarray:
    """(N, N) in [0, 1]: curved lines that hang from the upper edge."""
    size = cause.window.size
    image = np.zeros((size, size), np.float32)
    steps = np.linspace(0, 1, 60)
    for _ in range(count):
        left, length = g.uniform(0.2, 0.8) * size, g.uniform(0.35, 0.7) * size
        bend, swing = g.normal(0, 0.08, 2) * size
        x, y = left + bend * steps + swing * steps**2, 0.05 * size + length * steps
        line = np.zeros_like(image)
        points = (np.stack([x, y], 1) * 16).round().astype(np.int32)
        width = g.uniform(*_STRAND_WIDTH) / cause.usual_texel
        cv2.polylines(line, [points], False, 1.0, max(1, round(width)), cv2.LINE_AA, shift=4)
        image = np.maximum(image, min(width, 1.0) * line)
    return image


def rims(cause: Cause) -> np.ndarray:
    """(N, N) in [0, 1]: two elliptic frames around the eyes and a bridge between them."""
    size = cause.window.size
    image = np.zeros((size, size), np.float32)
    thick = _RIM_WIDTH / cause.usual_texel
    across, down = (value / cause.usual_texel for value in _LENS_HALF)
    turn = np.linspace(0, 2 * np.pi, 121)
    ring = np.stack([np.cos(turn) * across, np.sin(turn) * down], 1)
    inner = []
    for side in ("lids_left", "lids_right"):
        middle = np.array(_centroid(cause, side), float)
        points = ((middle + ring) * 16).round().astype(np.int32)
        cv2.polylines(image, [points], True, 1.0, max(1, round(thick)), cv2.LINE_AA, shift=4)
        outwards = 1.0 if middle[0] > size / 2 else -1.0
        inner.append((round(middle[0] - outwards * across), round(middle[1])))
    cv2.line(image, inner[0], inner[1], 1.0, max(1, round(thick)), cv2.LINE_AA)
    return np.float32(min(thick, 1.0)) * image


def _centroid(cause: Cause, region: str) -> tuple[int, int]:
    """Column and row of a region's centroid in the window."""
    surface = cause.window.surface
    mask = cause.window.image(surface.regions[region][:, None])[..., 0]
    row, column = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return round(float(np.average(column, weights=mask))), round(float(np.average(row, weights=mask)))
