"""Lid motion as a rotation about the eyeball: for blinking, and for following the gaze down."""

from __future__ import annotations

import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.geometry.template import Template
from backend.rig.face_loops import EyeLoops, face_loops
from backend.rig.measure import eye_angles, eye_sphere, from_eye_angles, lid_openings

_FULL_ROWS = 2
"""Rows beyond the lid's margin that rotate as far as the margin."""
_UPPER_REACH, _LOWER_REACH = 9.0, 7.0
"""Rows beyond the margin at which a lid's rotation has faded out."""
_POCKET_SHARE = 0.6
"""Share of the rotation for the rows behind the lid."""


def turn_lids(template: Template, eye: int, upper_share: float, lower_share: float) -> np.ndarray:
    """Offsets (V, 3) in metres that rotate the lids of eye 0 (left) or 1 (right) about the eyeball's centre.

    The upper lid's edge moves down by ``upper_share`` of the opening at its azimuth, the lower lid's edge moves up by
    ``lower_share`` (negative: down). Shares that sum to 1 shut the eye along a smooth curve.
    """
    neutral = template.vertices.astype(np.float64)
    loops = face_loops(template).eyes[eye]
    centre, radius = eye_sphere(template, neutral, eye)
    azimuths, openings = lid_openings(template, neutral, eye)
    order = np.argsort(azimuths)
    places, heights = azimuths[order], openings[order] * 1e-3 / radius
    # the opening is zero at the corners
    corners = eye_angles(neutral[loops.rows[loops.margin + 1, [loops.inner, loops.outer]]], centre)[0]
    places = np.concatenate([[corners.min()], places, [corners.max()]])
    heights = np.concatenate([[0.0], heights, [0.0]])
    offsets = np.zeros_like(neutral)
    lids = ((loops.upper, -upper_share, _UPPER_REACH), (loops.lower, lower_share, _LOWER_REACH))
    for columns, share, reach in lids:
        grid = loops.rows[:, columns]
        azimuth, elevation, distance = eye_angles(neutral[grid], centre)
        across = eye_angles(neutral[loops.rows[loops.margin + 1, columns]], centre)[0]
        turn = share * _fade(loops, reach)[:, None] * np.interp(across, places, heights)
        offsets[grid] = from_eye_angles(azimuth, elevation + turn, distance, centre) - neutral[grid]
    return offsets


def _fade(loops: EyeLoops, reach: float) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.margin
    out = 1.0 - smoothstep(_FULL_ROWS, reach, rows)
    return np.where(rows < 0, 1.0 + rows * (1.0 - _POCKET_SHARE) / 3.0, out)
