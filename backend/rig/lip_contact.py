"""Lip contact: close the lips along the loops of the mouth, fading out over the lips' skin."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template
from backend.geometry.vectors import smoothstep
from backend.rig.measure import MouthLoops, face_loops

REACH_ROWS = {1: 6, 2: 4}
"""Number of loops outside the contact over which a correction fades, for heights (axis 1) and depths (axis 2)."""

LEAST_OVERLAP = 0.0005
"""Metres by which closed lips overlap: with 0.3 mm, teeth show between them from below."""

_SEARCHED_ROWS = (-2, -1, 0, 1)
"""Loops, counted from the contact, of which at least one must touch."""


def closed_lips(template: Template, neutral: np.ndarray) -> np.ndarray:
    """``neutral`` (V, 3) with shut lips (``touch_lips``); all other vertices are unchanged."""
    head = template.head.vertex_stop
    smooth = subdivide(template, 1).matrix[:head, :head]
    closed = neutral.astype(np.float64)
    closed[:head] = touch_lips(closed[:head], smooth, face_loops(template).mouth, LEAST_OVERLAP)
    return closed


def touch_lips(points: np.ndarray, smooth: sp.csr_matrix, mouth: MouthLoops, overlap: float) -> np.ndarray:
    """``points`` (H, 3) moved until the lips touch everywhere: at each place across the mouth, the smooth surface
    ``smooth @ points`` of the upper lip is ``overlap`` metres below the lower lip's in at least one loop."""
    points = points.copy()
    across = places_across(points, mouth)
    window = np.minimum(1.0, 10.0 * (1.0 - np.abs(np.linspace(-1, 1, 64))))  # both lips share the corners
    for _ in range(4):
        surface = smooth @ points
        gaps = [lips_apart(surface[None, :, 1], surface, mouth, row, across)[0] for row in _SEARCHED_ROWS]
        change = np.maximum(np.min(gaps, axis=0) + overlap, 0.0) * window
        place = points.copy()
        share_between_lips(points[None], change[None], 1, place, mouth, across)
    return points


def places_across(points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """(64,) places across the mouth, from corner to corner."""
    contact = mouth.rows[mouth.contact]
    return np.linspace(points[contact, 0].min(), points[contact, 0].max(), 64)


def lips_apart(values: np.ndarray, points: np.ndarray, mouth: MouthLoops, row: int, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) on the upper lip minus those on the lower lip, on loop ``row`` counted from the contact."""
    loop = mouth.rows[mouth.contact + row]
    lips = [loop[np.r_[mouth.right, side, mouth.left]] for side in (mouth.upper, mouth.lower)]
    return _line(values, points, lips[0], across) - _line(values, points, lips[1], across)


def share_between_lips(
    target: np.ndarray, change: np.ndarray, axis: int, points: np.ndarray, mouth: MouthLoops, across: np.ndarray
) -> None:
    """Add half of ``change`` (N, 64) to the lower lip's coordinates, subtract half from the upper lip's; in place."""
    contact = mouth.rows[mouth.contact]
    for side, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        amount = np.stack([np.interp(points[contact[side], 0], across, line) for line in change])
        for row, weight in zip(mouth.rows, _fade(mouth, REACH_ROWS[axis]), strict=True):
            target[:, row[side], axis] += sign * weight * amount


def _fade(mouth: MouthLoops, reach: int) -> np.ndarray:
    """(R,) weight of each loop: 1 inside the mouth, falling to 0 over ``reach`` loops of the lips' skin."""
    return smoothstep(0.0, 1.0, 1.0 - (np.arange(len(mouth.rows)) - mouth.contact) / reach)


def _line(values: np.ndarray, points: np.ndarray, vertices: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(N, 64) values (N, H) along a line of vertices, interpolated at the places across the mouth."""
    order = vertices[np.argsort(points[vertices, 0])]
    return np.stack([np.interp(across, points[order, 0], row) for row in values[:, order]])
