"""A flat square of triangles."""

from __future__ import annotations

import numpy as np


def flat_sheet(size: int, z: float, half: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """A square of vertices (size², 3) at height z, seen from +z, and its triangles."""
    axis = np.linspace(-half, half, size)
    x, y = np.meshgrid(axis, axis)
    ids = np.arange(size * size).reshape(size, size)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, 1:].ravel(), ids[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3), faces
