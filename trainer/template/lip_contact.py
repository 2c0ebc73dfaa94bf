"""Keep closed lips closed under identity offsets."""

from __future__ import annotations

import numpy as np

from backend.rig.face_loops import MouthLoops
from backend.rig.lip_contact import lips_apart, places_across, share_between_lips

OVERLAP = 0.0006
"""Overlap in metres of the mean face's lips. In the template at least 0.44 mm of it are left, 0.48 mm in the median."""

_CONTACT_ROWS = (-1, 0)
"""Loops along which the lips touch, counted from the outermost contact."""


def keep_lips_closed(offsets: np.ndarray, points: np.ndarray, mouth: MouthLoops) -> np.ndarray:
    """Correct head offsets (N, H, 3) so that the closed lips of ``points`` (H, 3) neither part nor cross.

    At each place along the mouth, both lips share the height and depth that the offsets put between their contact
    lines. The correction is complete inside the mouth and fades out on the lips' skin. It is linear in the offsets.
    """
    offsets = offsets.copy()
    across = places_across(points, mouth)
    for axis in (1, 2):
        rows = [lips_apart(offsets[..., axis], points, mouth, row, across) for row in _CONTACT_ROWS]
        share_between_lips(offsets, np.mean(rows, axis=0), axis, points, mouth, across)
    return offsets
