"""Closed lips stay closed from person to person."""

from __future__ import annotations

import numpy as np

from backend.rig.face_loops import MouthLoops
from backend.rig.lip_contact import lips_apart, places_across, share_between_lips

OVERLAP = 0.0006
"""Metres by which the lips of the mean face are pressed into each other; of these, 0.44 mm are left in the template at
least, 0.48 in the median."""

_CONTACT_ROWS = (-1, 0)
"""Loops, counted from where the lips begin to touch as seen from outside, along which they lie on each other."""


def keep_lips_closed(offsets: np.ndarray, points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """Head offsets (N, H, 3) with which the lips of ``points`` (H, 3), closed, neither part nor cross.

    At each place along the mouth the height and the depth that the offsets put between the lips' contact lines are
    shared by both lips; the correction is whole inside the mouth and fades out on the lips' skin. Linear.
    """
    offsets = offsets.copy()
    across = places_across(points, mouth)
    for axis in (1, 2):
        rows = [lips_apart(offsets[..., axis], points, mouth, row, across) for row in _CONTACT_ROWS]
        share_between_lips(offsets, np.mean(rows, axis=0), axis, points, mouth, across)
    return offsets
