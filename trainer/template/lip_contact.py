"""Closed lips stay closed from person to person: what opens the mouth is no matter of identity."""

from __future__ import annotations

import numpy as np

from backend.rig.face_loops import MouthLoops

REACH_ROWS = 6
"""Loops outside the contact over which the correction fades."""


def keep_lips_closed(offsets: np.ndarray, points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """Head offsets (N, H, 3) with which the lips of ``points`` (H, 3), closed, neither part nor cross.

    At each place along the mouth the vertical distance that the offsets put between the lips' contact lines is shared
    by both lips; the correction is whole inside the mouth and fades over ``REACH_ROWS`` loops of the lips' skin.
    Linear in the offsets.
    """
    offsets = offsets.copy()
    contact = mouth.rows[mouth.contact]
    upper, lower = (contact[np.r_[mouth.right, side, mouth.left]] for side in (mouth.upper, mouth.lower))
    across = np.linspace(points[contact, 0].min(), points[contact, 0].max(), 64)

    def height(line: np.ndarray) -> np.ndarray:
        """(N, 64) vertical offset along the mouth of a contact line."""
        order = line[np.argsort(points[line, 0])]
        return np.stack([np.interp(across, points[order, 0], row) for row in offsets[:, order, 1]])

    gap = height(upper) - height(lower)  # (N, 64)
    rows = np.arange(len(mouth.rows)) - mouth.contact
    fade = np.clip(1.0 - rows / REACH_ROWS, 0.0, 1.0)
    fade = fade * fade * (3.0 - 2.0 * fade)
    for side, sign in ((mouth.upper, -0.5), (mouth.lower, 0.5)):
        for row, weight in zip(mouth.rows, fade, strict=True):
            vertices = row[side]
            along = points[contact[side], 0]
            offsets[:, vertices, 1] += sign * weight * np.stack([np.interp(along, across, line) for line in gap])
    return offsets
