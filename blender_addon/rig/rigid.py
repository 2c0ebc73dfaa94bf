"""Fit rigid motions to points, in plain numpy: how a key moves tongue or eyeball, and about which point."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

LEAST_TURN = np.radians(1.0)
"""Radians: below it a key's rotation does not define a hinge, because rounding of its offsets shifts it by
centimetres."""


def rigid_motion(rest: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(3,) rotation vector in radians and (3,) shift in metres: the rigid motion closest to that of points (N, 3)."""
    rest, moved = rest.astype(np.float64), moved.astype(np.float64)
    u, _, vt = np.linalg.svd((rest - rest.mean(0)).T @ (moved - moved.mean(0)))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u @ flip @ vt).T
    return _rotation_vector(turn), moved.mean(0) - turn @ rest.mean(0)


def rotation_matrix(vector: np.ndarray) -> np.ndarray:
    """(3, 3) of a rotation vector (Rodrigues)."""
    angle = np.linalg.norm(vector)
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def fixed_point(vector: np.ndarray, shift: np.ndarray, across: float) -> np.ndarray:
    """The point on a rotation's axis at x = ``across``, for an axis along x."""
    still = np.eye(3) - rotation_matrix(vector)
    return np.array([across, *np.linalg.solve(still[1:, 1:], shift[1:] - still[1:, 0] * across)])


def turning_point(motions: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray | None:
    """(3,) common fixed point of all rigid motions with a rotation (least squares); None if they define none."""
    rows, shifts = [], []
    for vector, shift in motions:
        if np.linalg.norm(vector) > LEAST_TURN:
            rows.append(np.eye(3) - rotation_matrix(vector))
            shifts.append(shift)
    if not rows or np.linalg.matrix_rank(np.concatenate(rows), tol=1e-3) < 3:
        return None
    return np.linalg.lstsq(np.concatenate(rows), np.concatenate(shifts), rcond=None)[0]


def _rotation_vector(turn: np.ndarray) -> np.ndarray:
    twice = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    length = np.linalg.norm(twice)
    angle = np.arctan2(length, np.trace(turn) - 1.0)
    return np.zeros(3) if length < 1e-9 else twice * angle / length
