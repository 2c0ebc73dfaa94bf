"""Least-squares similarity or rigid motion between two sets of points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Similarity(NamedTuple):
    """``scale * rotation @ point + translation``: scale, rotation (3, 3), translation (3,)."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transformed points (..., 3)."""
        return self.scale * points @ self.rotation.T + self.translation


def nearest_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None, with_scale: bool = True
) -> Similarity:
    """The similarity that maps ``source`` (N, 3) to ``target`` (N, 3) with the least sum of squared distances.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991), equations 39 to
    42, with weights (N,) where given; without scale the rigid motion of Kabsch (1976). Reflections are excluded.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    share = np.full(len(source), 1 / len(source)) if weights is None else weights / np.sum(weights)
    middle, goal = share @ source, share @ target
    a, b = source - middle, target - goal
    u, strengths, vt = np.linalg.svd((b * share[:, None]).T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((strengths * signs).sum() / (share @ (a * a)).sum()) if with_scale else 1.0
    return Similarity(scale, rotation, goal - scale * rotation @ middle)
