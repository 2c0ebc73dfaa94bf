"""Measurements of a rig: openings of lids and lips, rigid parts.

All functions take vertices of all parts (V, 3) in the template's order, head frame, metres. Gaps are in millimetres.
"""

from __future__ import annotations

import numpy as np

from backend.geometry.template import PartRange, Template
from backend.rig.face_loops import EyeLoops, MouthLoops, face_loops

SAMPLES = 41
"""Places along a lid or lip at which a gap is measured."""


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares sphere through ``points`` (N, 3): centre (3,) and radius.

    Solves |p|^2 = 2 c.p + (r^2 - |c|^2), linear in c and the bracket.
    """
    points = np.asarray(points, dtype=np.float64)
    middle = points.mean(0)
    local = points - middle
    system = np.concatenate([2 * local, np.ones((len(local), 1))], axis=1)
    solution = np.linalg.lstsq(system, (local**2).sum(1), rcond=None)[0]
    radius = float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))
    return solution[:3] + middle, radius


def part_slice(part: PartRange) -> slice:
    """The part's slice of the vertex array."""
    return slice(part.vertex_start, part.vertex_stop)


def eye_sphere(template: Template, vertices: np.ndarray, eye: int) -> tuple[np.ndarray, float]:
    """Centre (3,) and radius of this face's own eyeball (0 left, 1 right)."""
    return fit_sphere(vertices[part_slice(template.parts[("eye_left", "eye_right")[eye]])])


def eye_angles(points: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Azimuth (to the person's left), elevation (radians) and radius of points (..., 3) about an eye's centre."""
    local = points - centre
    radius = np.linalg.norm(local, axis=-1)
    return np.arctan2(local[..., 0], local[..., 2]), np.arcsin(local[..., 1] / radius), radius


def from_eye_angles(azimuth: np.ndarray, elevation: np.ndarray, radius: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The points (..., 3) at the given angles and radii about ``centre``; inverse of ``eye_angles``."""
    flat = np.cos(elevation) * radius
    return centre + np.stack([np.sin(azimuth) * flat, np.sin(elevation) * radius, np.cos(azimuth) * flat], axis=-1)


def lid_openings(template: Template, vertices: np.ndarray, eye: int) -> tuple[np.ndarray, np.ndarray]:
    """Signed opening between the lids, seen from the eyeball's centre.

    At ``SAMPLES`` azimuths between the corners of the aperture: elevation of the upper lid's lowest edge minus
    elevation of the lower lid's highest edge, times the eyeball's radius. Negative where the lids overlap.

    Returns azimuths (S,) in radians and openings (S,) in mm.
    """
    loops = face_loops(template).eyes[eye]
    centre, radius = eye_sphere(template, vertices, eye)
    azimuths = _aperture_azimuths(loops, vertices, centre)
    low = np.full(SAMPLES, np.inf)
    high = np.full(SAMPLES, -np.inf)
    for row in range(loops.margin, loops.margin + 3):
        azimuth, elevation, _ = eye_angles(vertices[loops.rows[row]], centre)
        low = np.minimum(low, _along(azimuths, azimuth[loops.upper], elevation[loops.upper]))
        high = np.maximum(high, _along(azimuths, azimuth[loops.lower], elevation[loops.lower]))
    return azimuths, (low - high) * radius * 1e3


def lip_places(loops: MouthLoops, vertices: np.ndarray) -> np.ndarray:
    """``SAMPLES`` abscissas (metres) from the person's right to left over the inner 90 % of the mouth's width."""
    corners = vertices[loops.rows[loops.contact : loops.contact + 2][:, [loops.right, loops.left]], 0]  # (2, 2)
    right, left = corners[:, 0].max(), corners[:, 1].min()
    middle, half = 0.5 * (left + right), 0.45 * (left - right)
    return np.linspace(middle - half, middle + half, SAMPLES)


def lip_openings(template: Template, vertices: np.ndarray) -> np.ndarray:
    """Signed opening (S,) in mm between the lips seen from the front, along the inner 90 % of the mouth's width.

    Lowest edge of the upper lip minus highest edge of the lower lip (both as heights y over x); negative where
    the lips overlap.
    """
    loops = face_loops(template).mouth
    places = lip_places(loops, vertices)
    low = np.full(SAMPLES, np.inf)
    high = np.full(SAMPLES, -np.inf)
    for row in range(loops.contact - 1, loops.contact + 3):
        points = vertices[loops.rows[row]]
        low = np.minimum(low, _along(places, points[loops.upper, 0], points[loops.upper, 1]))
        high = np.maximum(high, _along(places, points[loops.lower, 0], points[loops.lower, 1]))
    return (low - high) * 1e3


def lower_lip(template: Template, vertices: np.ndarray) -> tuple[np.ndarray, float]:
    """The lower lip in the median plane: the point (3,) of its upper edge, and the z of its foremost one, metres."""
    loops = face_loops(template).mouth
    lip = vertices[loops.rows[loops.contact - 2 :, loops.lower[len(loops.lower) // 2]]]
    return lip[lip[:, 1].argmax()], lip[:, 2].max()


def _aperture_azimuths(loops: EyeLoops, vertices: np.ndarray, centre: np.ndarray) -> np.ndarray:
    corners = vertices[loops.rows[loops.margin : loops.margin + 2][:, [loops.inner, loops.outer]]]
    azimuth = eye_angles(corners, centre)[0]  # (2, 2)
    towards = np.sign(azimuth[0, 1] - azimuth[0, 0])
    inner = (towards * azimuth[:, 0]).max() * towards
    outer = (towards * azimuth[:, 1]).min() * towards
    margin = 0.03 * (outer - inner)
    return np.linspace(inner + margin, outer - margin, SAMPLES)


def _along(places: np.ndarray, abscissa: np.ndarray, ordinate: np.ndarray) -> np.ndarray:
    order = np.argsort(abscissa, kind="stable")
    return np.interp(places, abscissa[order], ordinate[order])
