"""Measurements of a rig in vertices of all parts (V, 3), template's order, metres: openings of lids and lips in
millimetres, rigid parts, and the concentric edge loops of eyes (28 vertices) and mouth (38). Stacked, loops are grids:
a column runs from inside to outside, a row is one loop; gaps, contacts and falloffs are expressed in them.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backend.geometry.template import PartRange, Template


@dataclass(frozen=True)
class EyeLoops:
    """Loops around one eye.

    Attributes
    ----------
    rows : (R, 28) int vertex ids. Columns run along the lid, rows from the socket (behind the lid) to the skin. The
        right eye's grid is the mirror image of the left eye's, column by column.
    margin : index of the row on the lid's edge; ``margin + 1`` is its outer edge.
    upper, lower : (13,) int columns of the two lids, from the inner to the outer corner.
    inner, outer : the corners' columns.
    """

    rows: np.ndarray
    margin: int
    upper: np.ndarray
    lower: np.ndarray
    inner: int
    outer: int


@dataclass(frozen=True)
class MouthLoops:
    """Loops around the mouth.

    Attributes
    ----------
    rows : (R, 38) int vertex ids; rows from the mouth's inside to the skin.
    contact : index of the row where closed lips begin to touch, counted from outside.
    upper, lower : (23,) and (13,) int columns of the lips, from the person's right to left, without the corners.
    right, left : the corners' columns.
    """

    rows: np.ndarray
    contact: int
    upper: np.ndarray
    lower: np.ndarray
    right: int
    left: int


@dataclass(frozen=True)
class FaceLoops:
    """Loops around ``eyes`` (left, right) and ``mouth``."""

    eyes: tuple[EyeLoops, EyeLoops]
    mouth: MouthLoops


@lru_cache(maxsize=2)
def face_loops(template: Template) -> FaceLoops:
    """The loops of ``template``'s head (cached)."""
    upper, lower = np.r_[21:28, 0:6], np.arange(19, 6, -1)
    rows = template.sculpture.eye_rows.astype(np.int64)
    left, right = (EyeLoops(one, 3, upper, lower, inner=20, outer=6) for one in rows)
    lips = template.sculpture.mouth_rows.astype(np.int64)
    mouth = MouthLoops(lips, 8, np.r_[27:38, 0:12], np.arange(25, 12, -1), right=26, left=12)
    return FaceLoops((left, right), mouth)


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


def lip_abscissas(loops: MouthLoops, vertices: np.ndarray) -> np.ndarray:
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
    abscissas = lip_abscissas(loops, vertices)
    low = np.full(SAMPLES, np.inf)
    high = np.full(SAMPLES, -np.inf)
    for row in range(loops.contact - 1, loops.contact + 3):
        points = vertices[loops.rows[row]]
        low = np.minimum(low, _along(abscissas, points[loops.upper, 0], points[loops.upper, 1]))
        high = np.maximum(high, _along(abscissas, points[loops.lower, 0], points[loops.lower, 1]))
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


def _along(shares: np.ndarray, abscissa: np.ndarray, ordinate: np.ndarray) -> np.ndarray:
    order = np.argsort(abscissa, kind="stable")
    return np.interp(shares, abscissa[order], ordinate[order])
