"""Closest points on a triangle mesh."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def closest_on_triangles(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(..., 3) barycentrics of the point of triangle a, b, c that is closest to ``points`` (all (..., 3))."""
    ab, ac, ap = b - a, c - a, points - a
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    aa, bb, cc = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    determinant = np.maximum(aa * cc - bb * bb, 1e-30)
    v, w = (cc * d1 - bb * d2) / determinant, (aa * d2 - bb * d1) / determinant
    inside = np.stack([1 - v - w, v, w], -1)

    def on_edge(start: np.ndarray, step: np.ndarray) -> np.ndarray:
        return np.clip(((points - start) * step).sum(-1) / np.maximum((step * step).sum(-1), 1e-30), 0, 1)

    t_ab, t_ac, t_bc = on_edge(a, ab), on_edge(a, ac), on_edge(b, c - b)
    zero = np.zeros_like(t_ab)
    edges = np.stack([
        np.stack([1 - t_ab, t_ab, zero], -1),
        np.stack([1 - t_ac, zero, t_ac], -1),
        np.stack([zero, 1 - t_bc, t_bc], -1),
    ])  # fmt: skip
    spots = edges[..., :1] * a + edges[..., 1:2] * b + edges[..., 2:] * c
    best = ((spots - points) ** 2).sum(-1).argmin(0)
    border = np.take_along_axis(edges, best[None, ..., None], 0)[0]
    return np.where((inside >= 0).all(-1, keepdims=True), inside, border)


def closest_points(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, candidates: int = 24
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest points on a mesh, exact among the triangles with the nearest ``candidates`` centroids.

    Parameters
    ----------
    points : (N, 3); vertices : (V, 3); triangles : (T, 3).

    Returns
    -------
    triangle : (N,) index into ``triangles``; barycentrics : (N, 3); distance : (N,).
    """
    corners = vertices[triangles]  # (T, 3, 3)
    _, near = cKDTree(corners.mean(1)).query(points, k=min(candidates, len(triangles)))
    near = near.reshape(len(points), -1)
    a, b, c = (corners[near, corner] for corner in range(3))  # (N, k, 3)
    weights = closest_on_triangles(np.broadcast_to(points[:, None], a.shape), a, b, c)
    spots = weights[..., :1] * a + weights[..., 1:2] * b + weights[..., 2:] * c
    distance = np.linalg.norm(spots - points[:, None], axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return near[rows, best], weights[rows, best], distance[rows, best]
