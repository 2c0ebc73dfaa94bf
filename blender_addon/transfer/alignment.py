"""Align one face to another mesh by a similarity transform, from marked points or by search. Only numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import AddonError
from .nearest import nearest
from .surface import Surface, unit

HEAD_SHARES = (1.0, 0.8, 0.62, 0.45, 0.3, 0.14)
"""Tried ratios of the source's height to the target's: head, head with neck, bust, half body, whole body."""
MASK_SHARES = (1.1, 0.9)
"""Tried ratios of the face's height to the target's, in case the target is only a face."""
WORST_FIT = 0.055
"""Mean distance relative to the face's size: heads of all kinds fit to 0.01 to 0.03, a tube or a sphere to 0.09."""
YAWS = (0.0, np.pi / 2, np.pi, -np.pi / 2)
TRIED_POINTS, TRIED_TARGET = 350, 2500
FINE_POINTS, FINE_TARGET = 800, 8000


@dataclass(frozen=True)
class Similarity:
    """``x -> scale * rotation @ x + shift``."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.scale * points @ self.rotation.T + self.shift


def fit_similarity(points: np.ndarray, onto: np.ndarray) -> Similarity:
    """The least-squares similarity (Umeyama 1991) that maps points (N, 3), N >= 3, onto others."""
    w = np.full(len(points), 1.0 / len(points))
    from_mean, to_mean = w @ points, w @ onto
    p, q = points - from_mean, onto - to_mean
    u, s, vt = np.linalg.svd((q * w[:, None]).T @ p)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / max((w * (p * p).sum(axis=1)).sum(), 1e-30))
    return Similarity(scale, rotation, to_mean - scale * rotation @ from_mean)


def align_by_points(points: np.ndarray, onto: np.ndarray) -> Similarity:
    """Align marked points (N, 3) of both meshes. Raises ``AddonError`` ``few_points`` for less than four, or collinear
    ones."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) if len(points) >= 4 else [0.0, 0.0]
    if len(points) < 4 or spread[1] < 0.1 * spread[0]:
        raise AddonError(
            "Too few points are marked on both meshes.", "Mark at least four, not in a line.", "few_points"
        )
    return fit_similarity(points, onto)


def find_alignment(source: Surface, face: np.ndarray, target: Surface):
    """Find the best alignment of the source's face to the target; yields between slices, returns a ``Similarity``.

    Both must stand upright along z. The target may look along -y or be rotated by quarter turns, may be a head, a bust
    or a body, and of any size. Several starting sizes and directions at the target's top are refined by iterative
    closest points (ICP); the one with the least trimmed distance, relative to its size, wins.
    Raises ``AddonError`` ``no_face`` if none fits.

    Parameters
    ----------
    face : (N,) indices of the source's face vertices.
    """
    points, normals = source.vertices[face], source.normals[face]
    some = _spread(len(face), TRIED_POINTS)
    coarse = _spread(len(target.vertices), TRIED_TARGET)
    trials = []
    for start in (*_starts(source, target), *_mask_starts(points, target)):
        fitted, cost = yield from _closest_points(
            points[some], normals[some], target.vertices[coarse], target.normals[coarse], start, 10
        )
        trials.append((cost, len(trials), fitted))
    fine = _spread(len(target.vertices), FINE_TARGET)
    some = _spread(len(face), FINE_POINTS)
    best = []
    for _, number, fitted in sorted(trials)[:3]:
        fitted, cost = yield from _closest_points(
            points[some], normals[some], target.vertices[fine], target.normals[fine], fitted, 12
        )
        best.append((cost, number, fitted))
    cost, _, fitted = min(best)
    if cost > WORST_FIT:
        raise AddonError(
            "The target shows no face like the source's.", "Mark a few corresponding points on both.", "no_face"
        )
    return fitted


def refine_alignment(source: Surface, face: np.ndarray, target: Surface, start: Similarity):
    """ICP from ``start``; yields between slices, returns a ``Similarity``."""
    some, fine = face[_spread(len(face), FINE_POINTS)], _spread(len(target.vertices), FINE_TARGET)
    fitted, _ = yield from _closest_points(
        source.vertices[some], source.normals[some], target.vertices[fine], target.normals[fine], start, 12
    )
    return fitted


def _spread(count: int, most: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(count)[:most]


def _starts(source: Surface, target: Surface):
    low, high = source.vertices.min(axis=0), source.vertices.max(axis=0)
    target_low, target_high = target.vertices.min(axis=0), target.vertices.max(axis=0)
    top = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2]])
    for share in HEAD_SHARES:
        scale = share * (target_high[2] - target_low[2]) / max(high[2] - low[2], 1e-12)
        upper = target.vertices[target.vertices[:, 2] >= target_high[2] - share * (target_high[2] - target_low[2])]
        middle = (upper.min(axis=0) + upper.max(axis=0)) / 2
        for yaw in YAWS:
            c, s = np.cos(yaw), np.sin(yaw)
            rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
            onto = np.array([middle[0], middle[1], target_high[2]])
            yield Similarity(scale, rotation, onto - scale * rotation @ top)


def _mask_starts(face: np.ndarray, target: Surface):
    low, high = target.vertices.min(axis=0), target.vertices.max(axis=0)
    for share in MASK_SHARES:
        scale = share * (high[2] - low[2]) / max(np.ptp(face[:, 2]), 1e-12)
        for yaw in YAWS:
            c, s = np.cos(yaw), np.sin(yaw)
            rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
            middle = (face.min(axis=0) + face.max(axis=0)) / 2
            yield Similarity(scale, rotation, (low + high) / 2 - scale * rotation @ middle)


def _closest_points(points, normals, target, target_normals, start: Similarity, rounds: int):
    """ICP with normals, trimming the worst 30 %. Returns the fit and its relative cost."""
    fitted, cost = start, np.inf
    size = np.linalg.norm(points.max(axis=0) - points.min(axis=0))
    for _ in range(rounds):
        reach = 0.15 * fitted.scale * size  # a normal rotated by 60 degrees counts as this distance
        moved, turned = fitted(points), normals @ fitted.rotation.T
        found, distance = yield from nearest(
            np.hstack([moved, reach * turned]), np.hstack([target, reach * target_normals])
        )
        limit = np.quantile(distance, 0.7)
        keep = distance <= limit
        cost = float(distance[keep].mean() / (fitted.scale * size))
        onto = target[found]
        along = np.einsum("nd,nd->n", onto - moved, target_normals[found])[:, None] * target_normals[found]
        goal = moved + along + 0.3 * (onto - moved - along)
        new = fit_similarity(points[keep], goal[keep])
        tilt = np.degrees(np.arccos(np.clip((np.trace(new.rotation.T @ start.rotation) - 1) / 2, -1, 1)))
        if not 0.6 < new.scale / start.scale < 1.7 or tilt > 50:
            return fitted, np.inf
        fitted = new
    return fitted, cost


def local_frames(rest: Surface, shape: np.ndarray) -> np.ndarray:
    """(V, 3, 3) per vertex the least-squares linear map of its neighbourhood from ``rest`` to ``shape`` (V, 3).

    Neighbours do not constrain the map across the surface; there normals map to normals, scaled by the mean stretch.
    """
    i, j = np.concatenate([rest.edges, rest.edges[:, ::-1]]).T
    before, after = rest.vertices[j] - rest.vertices[i], shape[j] - shape[i]
    weight = 1.0 / np.maximum(np.einsum("ed,ed->e", before, before), 1e-20)
    count = len(rest.vertices)
    rows = np.arange(len(i))
    cross = np.einsum("e,ea,eb->eab", weight, after, before).reshape(len(i), 9)
    square = np.einsum("e,ea,eb->eab", weight, before, before).reshape(len(i), 9)
    sums = np.stack([np.bincount(i, column[rows], count) for column in (*cross.T, *square.T)], -1)
    cross, square = sums[:, :9].reshape(-1, 3, 3), sums[:, 9:].reshape(-1, 3, 3)
    stretch = np.sqrt(
        np.bincount(i, np.einsum("ed,ed->e", after, after) * weight, count) / np.maximum(np.bincount(i, None, count), 1)
    )
    turned = unit(rest.moved(shape).normals) * stretch[:, None]
    strength = np.maximum(np.einsum("vaa->v", square), 1e-12)
    cross = cross + np.einsum("v,va,vb->vab", strength, turned, rest.normals)
    square = square + np.einsum("v,va,vb->vab", strength, rest.normals, rest.normals) + 1e-6 * np.eye(3)
    return np.einsum("vab,vbc->vac", cross, np.linalg.inv(square))
