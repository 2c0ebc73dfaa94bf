"""Convert between the head frame (x to the person's left, y up, z out of the face) and Blender's (x, -z, y)."""

from __future__ import annotations

import numpy as np

BLENDER_FROM_HEAD = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""(4, 4): in Blender's frame the face looks along -y and up is z."""


def to_blender(points: np.ndarray) -> np.ndarray:
    """Points or offsets (..., 3) from the head frame to Blender's, as contiguous float32."""
    out = np.empty(points.shape, np.float32)
    out[..., 0] = points[..., 0]
    np.negative(points[..., 2], out=out[..., 1])
    out[..., 2] = points[..., 1]
    return out


def to_head(points: np.ndarray) -> np.ndarray:
    """Points or offsets (..., 3) from Blender's frame to the head frame, as contiguous float32."""
    out = np.empty(points.shape, np.float32)
    out[..., 0] = points[..., 0]
    out[..., 1] = points[..., 2]
    np.negative(points[..., 1], out=out[..., 2])
    return out
