"""The template's mirror symmetry: x -> -x together with the mirror map of the vertices."""

from __future__ import annotations

import numpy as np

_FLIP = np.array([-1.0, 1.0, 1.0])


def mirrored(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Positions or offsets (..., V, 3) reflected in the median plane; ``mirror`` (V,) is ``Template.mirror``."""
    return points[..., mirror, :] * _FLIP.astype(points.dtype)


def symmetric_part(points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Half the sum of positions or offsets (..., V, 3) and their mirror image."""
    return 0.5 * (points + mirrored(points, mirror))
