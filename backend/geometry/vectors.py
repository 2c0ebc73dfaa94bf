"""Small vector functions: unit vectors, smooth steps, directions, lengths along lines, discs of pixels.

Unit vectors, of torch tensors and of arrays.

Smooth ramps.

Evenly spread directions on the sphere.

Arc length of polylines.

Round structuring element for morphology on masks.

Least-squares similarity or rigid motion between two sets of points.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., 2 or 3) divided by their length (faster than ``normalize`` on so short an axis)."""
    square = sum(part * part for part in vectors.unbind(-1))
    return vectors * square.clamp(min=1e-20).rsqrt()[..., None]


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) divided by their length; those shorter than 1e-9 are divided by that."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between (``low`` may exceed ``high``)."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    rising = 3.0 - 2.0 * t
    rising *= t
    rising *= t
    return rising


def spread_directions(count: int) -> np.ndarray:
    """(count, 3) float64 unit vectors evenly spread over the sphere (Fibonacci spiral)."""
    step = np.arange(count) + 0.5
    z = 1 - 2 * step / count
    turn = np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)


def arc_length(line: np.ndarray) -> np.ndarray:
    """(Q,) length along a line (Q, D) up to each of its points, from 0."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def points_along(line: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N, D) points of a line (Q, D) at arc lengths ``places`` (N,), clamped to its ends."""
    length = arc_length(line)
    return np.stack([np.interp(places, length, column) for column in line.T], axis=1)


def disc(radius: int) -> np.ndarray:
    """(D, D) uint8 kernel for ``cv2.dilate`` with D = 2 ``radius`` + 1, 1 within ``radius`` pixels of the centre."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


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
