"""Bake the rows of vertices along which the face's outline slides when the head turns."""

from __future__ import annotations

import numpy as np

from trainer.template.atlas import UVMap

ROWS_PER_SIDE = 14
ROW_LENGTH = 22
LONGEST_STEP = 0.018
"""Largest distance in metres between neighbours in a row; a longer step would jump over the ear."""


def bake_contour_rows(
    head_map: UVMap, quads: np.ndarray, points: np.ndarray, landmarks: np.ndarray, mirror: np.ndarray, ears: np.ndarray
) -> np.ndarray:
    """(R, C) int32 rows from the middle of the cheek (or chin) outwards, -1 padded: from the left ear's height over
    the chin to the right ear's.

    A row follows a straight line in the head's UV chart, from the face's middle through a landmark of the jaw line.

    Parameters
    ----------
    quads : (F, 4) the head's quads, corner by corner with ``head_map.quads[:F]``.
    points : (V, 3) positions.
    landmarks : (68, 3) positions of the landmarks on ``points``.
    ears : (V,) mask of the ears, where rows end.
    """
    vertex_uv = np.full((len(points), 2), np.nan)
    vertex_uv[quads.ravel()] = head_map.uv[head_map.quads[: len(quads)].ravel()]
    surface = np.flatnonzero(np.isfinite(vertex_uv[:, 0]) & (vertex_uv[:, 1] > 0.17) & (ears < 0.3))

    def chart_place(position: np.ndarray) -> np.ndarray:
        return vertex_uv[surface[np.linalg.norm(points[surface] - position, axis=1).argmin()]]

    jaw = np.array([chart_place(landmark) for landmark in landmarks[8:17]])  # chin to the left ear
    centre = chart_place(landmarks[33])
    along = np.linspace(0, len(jaw) - 1, ROWS_PER_SIDE)
    outline = np.stack([np.interp(along, np.arange(len(jaw)), jaw[:, axis]) for axis in (0, 1)], axis=1)
    rows = []
    for place in outline:
        samples = centre + np.linspace(0.45, 1.45, 160)[:, None] * (place - centre)
        distance = np.linalg.norm(vertex_uv[surface][None] - samples[:, None], axis=-1)
        nearest = surface[distance.argmin(1)][distance.min(1) < 0.02]
        row = np.array(list(dict.fromkeys(nearest.tolist())))
        jumps = np.linalg.norm(np.diff(points[row], axis=0), axis=1) > LONGEST_STEP
        row = row[: int(np.argmax(jumps)) + 1 if jumps.any() else None][:ROW_LENGTH].tolist()
        rows.append(row + [-1] * (ROW_LENGTH - len(row)))
    left = np.array(rows)[::-1]  # ear to chin
    right = np.where(left >= 0, mirror[left], -1)[::-1]
    return np.concatenate([left[:-1], right]).astype(np.int32)
