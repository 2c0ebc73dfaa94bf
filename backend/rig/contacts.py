"""Exact contacts: lids that shut on this face's eyeball, lips that meet when ``mouthClose`` corrects ``jawOpen``.

Corrections use the rows and columns of ``face_loops``: full on the lid's or lip's edge, fading out over the rows
towards the skin and into the pocket. They are zero where the posed mesh already fulfils the condition.
"""

from __future__ import annotations

import numpy as np

from backend.geometry.template import Template
from backend.rig.face_loops import EyeLoops, MouthLoops, face_loops
from backend.rig.measure import eye_angles, eye_sphere, from_eye_angles, lid_openings, lip_openings, lip_places

LID_OPENING_MM = (-0.30, -0.05)
"""Allowed signed opening of closed lids, minimum and maximum (negative: they overlap)."""
LID_CLEARANCE_MM = 0.10
"""Least distance of the lids' outer skin from the eyeball on its straight path from open to closed."""
LIP_OPENING_MM = (-1.2, -0.1)
"""Allowed signed opening of closed lips, minimum and maximum."""
_ROUNDS = 4


def close_lids(template: Template, neutral: np.ndarray, blink: np.ndarray, eye: int) -> np.ndarray:
    """Correct a blink's offsets (V, 3) so that eye 0 (left) or 1 (right) of the face ``neutral`` (V, 3) shuts.

    The upper lid is turned about the eyeball's centre until its edge meets the lower lid's (``LID_OPENING_MM``). Then
    the outer skin of both lids is lifted where its path would cross the eyeball.
    """
    loops = face_loops(template).eyes[eye]
    posed = neutral.astype(np.float64) + blink
    weights = _lid_weights(loops)
    for _ in range(_ROUNDS):
        centre, radius = eye_sphere(template, neutral, eye)
        azimuths, openings = lid_openings(template, posed, eye)
        excess = (openings - np.clip(openings, *LID_OPENING_MM)) * 1e-3 / radius  # radians to turn down
        excess = _dilated(excess)
        grid = loops.rows[:, loops.upper]  # (R, 13)
        azimuth, elevation, distance = eye_angles(posed[grid], centre)
        order = np.argsort(azimuths)
        turn = weights[:, None] * np.interp(azimuth, azimuths[order], excess[order])
        turn *= _corner_taper(azimuth, azimuths)
        posed[grid] = from_eye_angles(azimuth, elevation - turn, distance, centre)
    posed = lift_from_eyeball(template, neutral, posed, eye)
    return (posed - neutral).astype(np.float32)


def lift_from_eyeball(template: Template, neutral: np.ndarray, posed: np.ndarray, eye: int) -> np.ndarray:
    """Push the lids' outer skin radially out until the straight path from ``neutral`` to ``posed`` clears the eyeball.

    A vertex that is closer to the eyeball in ``neutral`` than ``LID_CLEARANCE_MM`` may stay as close as it is.
    """
    loops = face_loops(template).eyes[eye]
    rows = loops.rows[loops.margin + 1 :]
    centre, radius = eye_sphere(template, neutral, eye)
    start = neutral[rows].astype(np.float64) - centre
    end = posed[rows] - centre
    least = np.minimum(radius + LID_CLEARANCE_MM * 1e-3, np.linalg.norm(start, axis=-1))
    times = np.linspace(0.0, 1.0, 17)[:, None, None, None]
    way = start + times * (end - start)
    fine = np.linalg.norm(way, axis=-1).min(0) >= least - 1e-7
    if fine.all():
        return posed
    low, high = np.ones(least.shape), np.full(least.shape, 1.5)
    for _ in range(24):
        scale = 0.5 * (low + high)
        way = start + times * (end * scale[..., None] - start)
        clear = np.linalg.norm(way, axis=-1).min(0) >= least - 1e-7
        high = np.where(clear, scale, high)
        low = np.where(clear, low, scale)
    lifted = posed.copy()
    lifted[rows] = centre + end * np.where(fine, 1.0, high)[..., None]
    return lifted


def lift_lids(template: Template, neutral: np.ndarray, keys: np.ndarray) -> None:
    """``lift_from_eyeball`` for each of ``keys`` (K, V, 3) that moves lids, in place."""
    for eye, loops in enumerate(face_loops(template).eyes):
        moving = np.flatnonzero(np.any(keys[:, loops.rows.ravel()] != 0.0, axis=(1, 2)))
        for index in moving:
            posed = neutral.astype(np.float64) + keys[index]
            lifted = lift_from_eyeball(template, neutral, posed, eye)
            if lifted is not posed:
                keys[index] += lifted - posed


def meet_lips(template: Template, neutral: np.ndarray, jaw_open: np.ndarray, mouth_close: np.ndarray) -> np.ndarray:
    """Correct ``mouthClose``'s offsets (V, 3) so that the lips meet when it and ``jawOpen`` (V, 3) are both 1.

    Each lip moves half of the remaining opening, up or down; lips that overlap too far are parted.
    """
    loops = face_loops(template).mouth
    posed = neutral.astype(np.float64) + jaw_open + mouth_close
    weights = _lip_weights(loops)
    for _ in range(_ROUNDS):
        places = lip_places(loops, posed)
        openings = lip_openings(template, posed)
        excess = _dilated((openings - np.clip(openings, *LIP_OPENING_MM)) * 1e-3)
        for columns, sign in ((loops.upper, -0.5), (loops.lower, 0.5)):
            grid = loops.rows[:, columns]
            shift = weights[:, None] * np.interp(posed[grid][..., 0], places, excess)
            posed[grid, 1] += sign * shift
    return (posed - neutral - jaw_open).astype(np.float32)


def _dilated(excess: np.ndarray) -> np.ndarray:
    """(N,) largest positive excess within two places, so that a gap between two vertices corrects both."""
    beside = np.pad(excess, 2, mode="edge")
    most = np.max([beside[i : i + len(excess)] for i in range(5)], axis=0)
    return np.where(most > 0, most, excess)


def _lid_weights(loops: EyeLoops) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.margin
    return np.where(rows < -1, 0.5, np.clip(1.0 - (rows - 2) / 5.0, 0.0, 1.0))


def _lip_weights(loops: MouthLoops) -> np.ndarray:
    rows = np.arange(len(loops.rows)) - loops.contact
    outwards = np.clip(1.0 - (rows - 3) / 4.0, 0.0, 1.0)
    inwards = np.clip(1.0 + (rows + 2) / 3.0, 0.0, 1.0)
    return np.minimum(outwards, inwards)


def _corner_taper(azimuth: np.ndarray, azimuths: np.ndarray) -> np.ndarray:
    ends = np.sort(azimuths[[0, -1]])
    width = 0.08 * (ends[1] - ends[0])
    inside = np.minimum(azimuth - ends[0], ends[1] - azimuth) / width
    return np.clip(inside + 1.0, 0.0, 1.0)
