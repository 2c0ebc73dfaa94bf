"""Brute-force nearest neighbours by matrix products. Only numpy."""

from __future__ import annotations

import numpy as np

PAIRS_PER_SLICE = 1_500_000


def nearest(points: np.ndarray, among: np.ndarray):
    """Index of the nearest row of ``among`` (N, D) for each row of ``points`` (M, D); yields between slices.

    Returns (M,) int and (M,) distances.
    """
    found, distance = np.empty(len(points), int), np.empty(len(points))
    centre = among.mean(axis=0)
    other = (among - centre).astype(np.float32)
    half = 0.5 * np.einsum("nd,nd->n", other, other)
    size = max(PAIRS_PER_SLICE // max(len(among), 1), 1)
    for first in range(0, len(points), size):
        part = (points[first : first + size] - centre).astype(np.float32)
        score = part @ other.T
        score -= half
        best = score.argmax(axis=1)
        found[first : first + size] = best
        distance[first : first + size] = np.linalg.norm(part - other[best], axis=1)
        yield
    return found, distance


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closest points on triangles, one triangle per point.

    points : (M, 3).
    corners : (M, 3, 3).

    Returns the barycentric weights (M, 3) and the distances (M,).
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (np.einsum("md,md->m", p, q) for p, q in ((ab, ab), (ab, ac), (ac, ac)))
    d20, d21 = np.einsum("md,md->m", ap, ab), np.einsum("md,md->m", ap, ac)
    below = d00 * d11 - d01 * d01
    safe = np.where(np.abs(below) > 1e-30, below, 1.0)
    v, w = (d11 * d20 - d01 * d21) / safe, (d00 * d21 - d01 * d20) / safe
    inside = (v >= 0) & (w >= 0) & (v + w <= 1) & (np.abs(below) > 1e-30)
    best = np.stack([1 - v - w, v, w], -1)
    distance = np.where(inside, np.linalg.norm(points - np.einsum("mk,mkd->md", best, corners), axis=1), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        along = corners[:, j] - corners[:, i]
        length = np.einsum("md,md->m", along, along)
        t = np.clip(np.einsum("md,md->m", points - corners[:, i], along) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        away = np.linalg.norm(points - corners[:, i] - t[:, None] * along, axis=1)
        closer = ~inside & (away < distance)
        edge = np.zeros_like(best)
        edge[:, i], edge[:, j] = 1 - t, t
        best[closer], distance[closer] = edge[closer], away[closer]
    return best, distance
