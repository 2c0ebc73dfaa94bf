"""The landmarks of a face that nobody has, at a place in a picture."""

from __future__ import annotations

import numpy as np

from backend.photos.faces import mean_landmarks


def mean_face(height: float, centre: tuple[float, float]) -> np.ndarray:
    """(478, 3) float64 the mean face upright and frontal, ``height`` pixels from top to chin, at ``centre`` (x, y)."""
    points = mean_landmarks().points.astype(np.float64)
    return (points - points.mean(0)) / np.ptp(points[:, 1]) * height + [*centre, 0.0]
