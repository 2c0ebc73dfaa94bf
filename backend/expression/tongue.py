"""Detection of a tongue between the lips by its colour.

The landmark detector has no tongue and puts the lower lip across it, and the tongues in the reader's training data
hardly show. So the colour is measured: in a mouth that is merely open, the lower half shows teeth or is dark.
"""

from __future__ import annotations

import cv2
import numpy as np

UPPER_LINE = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LINE = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Landmarks of the inner lips, from the right corner to the left."""
CORNERS, MIDDLES = (61, 291), (13, 14)
CHEEKS = (50, 280, 205, 425, 187, 411)
COLUMNS = np.linspace(0.15, 0.85, 24)
DEPTHS = np.linspace(0.45, 0.95, 10)
"""Sampled places: along the lips, and from the upper lip (0) to the lower."""
LIGHTNESS, REDNESS = 0.66, 1.0
"""Least lightness of a tongue relative to the cheeks', and its least redness above theirs (8-bit CIELAB)."""
FULL_COLUMN = 0.8
OPENING = (0.22, 0.32)
"""Opening per mouth width up to which the result is 0, and from which on it has full weight."""
SHARE = (0.2, 0.45)
"""Share of tongue-coloured columns up to which no tongue is out (children's open mouths reach 0.12), and from which on
it is fully out."""


def tongue_out(window: np.ndarray, points: np.ndarray) -> float:
    """How far a tongue is out, 0 to 1.

    Parameters
    ----------
    window : (H, W, 3) uint8 sRGB, the face upright. points : (478, 2) landmarks in its pixels.
    """
    upper, lower = (_along(points[list(line)]) for line in (UPPER_LINE, LOWER_LINE))  # (24, 2)
    width = float(np.linalg.norm(points[CORNERS[0]] - points[CORNERS[1]]))
    opening = float(np.linalg.norm(points[MIDDLES[0]] - points[MIDDLES[1]])) / max(width, 1.0)
    if opening <= OPENING[0]:
        return 0.0
    lab = cv2.cvtColor(window, cv2.COLOR_RGB2LAB).astype(np.float32)
    around = np.arange(-2, 3)
    offsets = np.stack(np.meshgrid(around, around), axis=-1).reshape(1, 25, 2)
    skin = np.median(_colours(lab, points[list(CHEEKS)][:, None] + offsets).reshape(-1, 3), axis=0)
    depth = DEPTHS[None, :, None]
    inside = _colours(lab, upper[:, None] * (1.0 - depth) + lower[:, None] * depth)  # (24, 10, 3)
    tongue = (inside[..., 0] > LIGHTNESS * skin[0]) & (inside[..., 1] > skin[1] + REDNESS)
    share = float((tongue.mean(axis=1) > FULL_COLUMN).mean())
    return _ramp(opening, OPENING) * _ramp(share, SHARE)


def _along(line: np.ndarray) -> np.ndarray:
    """(24, 2) points at ``COLUMNS`` of a line (N, 2)."""
    places = np.linspace(0.0, 1.0, len(line))
    return np.stack([np.interp(COLUMNS, places, line[:, axis]) for axis in range(2)], axis=1)


def _colours(lab: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(A, B, 3) samples of a picture at points (A, B, 2)."""
    points = points.astype(np.float32)
    return cv2.remap(lab, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _ramp(value: float, ends: tuple[float, float]) -> float:
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0))
