"""Closed lips: they touch on the mean face and stay closed from person to person."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from backend.rig.face_loops import MouthLoops

REACH_ROWS = {1: 6, 2: 4}
"""Loops outside the contact over which a correction fades, for heights (axis 1) and depths (axis 2)."""

OVERLAP = 0.0006
"""Metres by which the lips of the mean face press into each other."""

_CONTACT_ROWS = (-1, 0)
"""Loops, counted from where the lips begin to touch as seen from outside, along which they lie on each other."""

_SEARCHED_ROWS = (-2, -1, 0, 1)


def _fade(mouth: MouthLoops, reach: int) -> np.ndarray:
    """(R,) weight of each loop: 1 inside the mouth, falling to 0 over ``reach`` loops of the lips' skin."""
    weight = np.clip(1.0 - (np.arange(len(mouth.rows)) - mouth.contact) / reach, 0.0, 1.0)
    return weight * weight * (3.0 - 2.0 * weight)


def _along(points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """(64,) places across the mouth, from corner to corner."""
    contact = mouth.rows[mouth.contact]
    return np.linspace(points[contact, 0].min(), points[contact, 0].max(), 64)


def _line(values: np.ndarray, points: np.ndarray, vertices: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) of a line of vertices, at places across the mouth."""
    order = vertices[np.argsort(points[vertices, 0])]
    return np.stack([np.interp(across, points[order, 0], row) for row in values[:, order]])


def _apart(values: np.ndarray, points: np.ndarray, mouth: MouthLoops, row: int, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) on the upper lip less those on the lower lip, along a loop counted from the contact."""
    loop = mouth.rows[mouth.contact + row]
    lips = [loop[np.r_[mouth.right, side, mouth.left]] for side in (mouth.upper, mouth.lower)]
    return _line(values, points, lips[0], across) - _line(values, points, lips[1], across)


def _share(
    target: np.ndarray, change: np.ndarray, axis: int, points: np.ndarray, mouth: MouthLoops, across: np.ndarray
) -> None:
    """Add half of ``change`` (N, 64) to the lower lip's coordinates and take half from the upper lip's, in place."""
    contact = mouth.rows[mouth.contact]
    for side, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        amount = np.stack([np.interp(points[contact[side], 0], across, line) for line in change])
        for row, weight in zip(mouth.rows, _fade(mouth, REACH_ROWS[axis]), strict=True):
            target[:, row[side], axis] += sign * weight * amount


def touch_lips(points: np.ndarray, smooth: sp.csr_matrix, mouth: MouthLoops) -> np.ndarray:
    """``points`` (H, 3) whose lips touch everywhere: at each place across the mouth, in at least one loop, the smooth
    surface ``smooth @ points`` of the upper lip reaches ``OVERLAP`` below the lower lip's."""
    points = points.copy()
    across = _along(points, mouth)
    window = np.minimum(1.0, 10.0 * (1.0 - np.abs(np.linspace(-1, 1, 64))))  # the corners themselves are shared
    for _ in range(4):
        surface = smooth @ points
        gaps = [_apart(surface[None, :, 1], surface, mouth, row, across)[0] for row in _SEARCHED_ROWS]
        change = np.maximum(np.min(gaps, axis=0) + OVERLAP, 0.0) * window
        place = points.copy()
        _share(points[None], change[None], 1, place, mouth, across)
    return points


def keep_lips_closed(offsets: np.ndarray, points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """Head offsets (N, H, 3) with which the lips of ``points`` (H, 3), closed, neither part nor cross.

    At each place along the mouth the height and the depth that the offsets put between the lips' contact lines are
    shared by both lips; the correction is whole inside the mouth and fades out on the lips' skin. Linear.
    """
    offsets = offsets.copy()
    across = _along(points, mouth)
    for axis in (1, 2):
        apart = np.mean([_apart(offsets[..., axis], points, mouth, row, across) for row in _CONTACT_ROWS], axis=0)
        _share(offsets, apart, axis, points, mouth, across)
    return offsets
