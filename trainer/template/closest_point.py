"""Closest points on a triangle mesh."""

from __future__ import annotations

import numpy as np

from trainer.data.raytrace import bvh


def closest_points(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest points on a mesh.

    Parameters
    ----------
    points : (N, 3); vertices : (V, 3); triangles : (T, 3).

    Returns
    -------
    triangle : (N,) index into ``triangles``; barycentrics : (N, 3); distance : (N,).
    """
    triangle, _, weights = bvh.closest_points(bvh.build_bvh(vertices, triangles, np.float64), points)
    weights = np.maximum(weights, 0.0)  # rounding
    spots = (weights[..., None] * vertices[triangles[triangle]]).sum(1)
    return triangle, weights, np.linalg.norm(spots - points, axis=-1)
