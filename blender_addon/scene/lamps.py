"""Shading by fixed lamps, for small previews drawn without a renderer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Lamp = tuple[np.ndarray, float]
"""Direction (3,) towards a lamp, of any length, and the lamp's strength."""


def light_on(vertices: np.ndarray, triangles: np.ndarray, lamps: Sequence[Lamp], ambient: float) -> np.ndarray:
    """(V,) float32 diffuse shading of vertices (V, 3) with triangles (T, 3), from area-weighted vertex normals."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    across = np.repeat(np.cross(b - a, c - a), 3, axis=0)  # in the order of triangles.ravel()
    normals = np.stack([np.bincount(triangles.ravel(), axis, len(vertices)) for axis in across.T], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-20
    light = np.full(len(vertices), ambient, np.float32)
    for direction, strength in lamps:
        light += strength * np.clip(normals @ (direction / np.linalg.norm(direction)), 0, None).astype(np.float32)
    return light
