"""Rotation vectors, as least squares steps have them."""

from __future__ import annotations

import numpy as np


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector (3,): its direction the axis, its length the angle in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
