"""The scalp: a fine mesh on which hair grows, its chart about the crown, and each place's distance to a hairline."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.subdivision import subdivision
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.geometry.vectors import smoothstep, unit_vectors, vertex_normals

LEVEL = 2
"""Catmull-Clark steps from the template to the scalp: 3 mm between vertices."""
CENTRE = np.array([0.0, 0.745, 0.045])
"""Metres: the middle of the mean head's skull."""
CROWN = unit_vectors(np.array([0.0, 0.866, -0.5]))
LEFT = np.array([1.0, 0.0, 0.0])
AHEAD = np.cross(LEFT, CROWN)
"""Axes of the chart: to the crown, to the person's left, to the forehead."""
BEYOND = 0.010
"""Metres beyond the hairline up to which the scalp reaches: more than the widest falling off."""
_EAR = ((-0.008, 0.073), (0.655, 0.745))
"""z and y, metres, of a box about the mean head's ears."""
_OFF_HEAD = 0.0035
"""Metres beyond the side of the head, continued through the ear, from which skin is the ear's."""


@dataclass(frozen=True)
class MeanScalp:
    """The mean head's skin without ears at ``LEVEL``. ``rows`` : (N,) vertices of the level that may be scalp;
    ``places`` : (N, 3) of them; ``triangles`` : (T, 3) of their numbers; ``head_uv`` : (T, 3, 2)."""

    rows: np.ndarray
    places: np.ndarray
    triangles: np.ndarray
    head_uv: np.ndarray


def chart(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angle about the crown and angle from it, degrees, of points (..., 3) on or near the mean head."""
    way = unit_vectors(points - CENTRE)
    return np.degrees(np.arctan2(way @ LEFT, way @ AHEAD)), np.degrees(np.arccos(np.clip(way @ CROWN, -1.0, 1.0)))


def on_sphere(line: np.ndarray) -> np.ndarray:
    """(N, 3) unit vectors of chart angles (N, 2), degrees."""
    about, away = np.radians(line).T
    side = np.sin(about)[:, None] * LEFT + np.cos(about)[:, None] * AHEAD
    return np.sin(away)[:, None] * side + np.cos(away)[:, None] * CROWN


def smooth_line(line: np.ndarray, steps: int = 24) -> np.ndarray:
    """(N * steps, 2) a closed Catmull-Rom curve through the points of a hairline (N, 2), in the chart's plane."""
    flat = _flat(*line.T)
    before, after, next_but_one = np.roll(flat, 1, 0), np.roll(flat, -1, 0), np.roll(flat, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (part[:, None] for part in (before, flat, after, next_but_one))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    x, y = curve.reshape(-1, 2).T
    return np.stack([np.degrees(np.arctan2(x, y)), np.hypot(x, y)], 1)


def line_distance(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) metres from points (N, 3) of the mean head to a closed hairline (M, 2), positive inside."""
    curve = smooth_line(line)
    way = unit_vectors(points - CENTRE)
    angle = cKDTree(on_sphere(curve)).query(way)[0]
    within = _within(_flat(*chart(points)), _flat(*curve.T))
    return np.where(within, angle, -angle) * np.linalg.norm(points - CENTRE, axis=1)


def waves(points: np.ndarray, wavelength: float, seed: int) -> np.ndarray:
    """(N,) smooth noise, about -1 to 1, of a wavelength in metres."""
    generator, total = np.random.default_rng(seed), np.zeros(len(points))
    for _ in range(8):
        way = unit_vectors(generator.normal(size=3)) * 2 * np.pi / (wavelength * generator.uniform(0.7, 1.4))
        total += np.sin(points @ way + generator.uniform(0, 2 * np.pi))
    return total / np.sqrt(8)


def lock_variation(points: np.ndarray) -> np.ndarray:
    """(N,) -1 to 1: how much darker locks are whose roots lie at points (N, 3)."""
    return np.clip(0.6 * waves(points, 0.009, 21) + 0.6 * waves(points, 0.004, 22), -1.0, 1.0)


@lru_cache(maxsize=1)
def mean_scalp() -> MeanScalp:
    """``MeanScalp`` of the committed template."""
    fine, template = subdivision(LEVEL), load_template()
    part = fine.parts["head"]
    places = fine.positions(template.vertices.astype(np.float64))[: part.vertex_stop]
    quads = fine.quads[part.face_start : part.face_stop]
    uv = fine.uv_head[fine.uv_head_quads[part.face_start : part.face_stop]]
    hidden = fine.matrix[: part.vertex_stop] @ template.regions["mouth_interior"].astype(np.float32)
    free = ~_is_ear(places) & (chart(places)[1] < 135.0) & (hidden < 0.3)
    kept = free[quads].all(1)
    rows, numbers = np.unique(quads[kept], return_inverse=True)
    corners = numbers.reshape(-1, 4)
    triangles = np.concatenate([corners[:, :3], corners[:, [0, 2, 3]]])
    head_uv = np.concatenate([uv[kept][:, :3], uv[kept][:, [0, 2, 3]]])
    return MeanScalp(rows, places[rows], triangles, head_uv)


def person_scalp(neutral: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) places and normals of ``mean_scalp``'s vertices on the head of ``neutral`` (V, 3), metres."""
    fine = subdivision(LEVEL)
    part = fine.parts["head"]
    count = load_template().head.vertex_stop
    places = fine.matrix[: part.vertex_stop, :count] @ neutral[:count].astype(np.float64)
    normals = vertex_normals(places, triangles_from_quads(fine.quads[part.face_start : part.face_stop]))
    rows = mean_scalp().rows
    return places[rows], normals[rows]


def to_mean(neutral: np.ndarray, template: Template) -> np.ndarray:
    """(3, 4) affine map from a head of vertices (V, 3) to the mean head, by the skull."""
    skull = np.flatnonzero(template.regions["scalp"][: template.head.vertex_stop] > 0.3)
    return np.linalg.lstsq(np.pad(neutral[skull], ((0, 0), (0, 1)), constant_values=1.0).astype(np.float64),
                           template.vertices[skull].astype(np.float64), rcond=None)[0].T  # fmt: skip


def cut_along(triangles: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Triangles (T, 3) of a mesh of N vertices in two islands: those to the right of a line, by their corners'
    distances to its left (N,), have corners numbered N more."""
    right = across[triangles].mean(1) < 0
    return np.where(right[:, None], triangles + len(across), triangles)


def chart_uv(points: np.ndarray) -> np.ndarray:
    """(N, 2) the scalp's own UV map at points (N, 3) of the mean head: the chart's plane about the crown."""
    return 0.5 + _flat(*chart(points)) / 400.0


def _flat(about: np.ndarray, away: np.ndarray) -> np.ndarray:
    return np.stack([away * np.sin(np.radians(about)), away * np.cos(np.radians(about))], -1)


def _within(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) whether points (N, 2) lie within a closed line (M, 2). A piece of it concerns points as high as it alone."""
    order = np.argsort(points[:, 1])
    (x, y), before = points[order].T, np.roll(line, 1, 0)
    low, high = np.searchsorted(y, np.sort([line[:, 1], before[:, 1]], 0))
    result = np.zeros(len(points), bool)
    for (ax, ay), (bx, by), i, j in zip(line, before, low, high, strict=True):
        result[i:j] ^= x[i:j] < (bx - ax) * (y[i:j] - ay) / (by - ay) + ax
    return result[np.argsort(order)]


def _is_ear(places: np.ndarray) -> np.ndarray:
    """(N,) whether vertices (N, 3) of the mean head are an ear's: off the side of the head continued through it."""
    x, y, z = np.abs(places[:, 0]), places[:, 1], places[:, 2]
    (back, front), (low, high) = _EAR
    box = (z > back) & (z < front) & (y > low) & (y < high)
    fit = (x > 0.045) & (z > -0.025) & (z < 0.1) & (y > 0.63) & (y < 0.8) & ~box
    u, v = (0.03 - z) / 0.06, (y - 0.71) / 0.06
    terms = np.stack([u**a * v**b for a in range(5) for b in range(5 - a)], 1)
    side = terms @ np.linalg.lstsq(terms[fit], x[fit], rcond=None)[0]
    return box & (x - side > _OFF_HEAD)


def density_at_edge(edge: np.ndarray, places: np.ndarray, fall: float, jitter: float) -> np.ndarray:
    """(N,) share of full hair at signed distances to the hairline (N,) of places (N, 3), metres."""
    uneven = edge + jitter * (waves(places, 0.007, 3) + 0.8 * waves(places, 0.003, 5))
    return smoothstep(-0.003, fall - 0.003, uneven) ** 1.3
