"""Strands on a head: pushed out of it and over the body; evenly spread roots."""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from backend.geometry.subdivision import catmull_clark
from backend.geometry.template import triangulate
from backend.geometry.vectors import vertex_normals

_ABOVE = 0.0008
"""Least distance of hair from the skin in metres, except at the root. It is more than the depth of the skin's relief
(0.5 mm), so that no strand dips into it, and too small to see."""
_DEEP = 0.03
"""Metres. A point deeper than this counts as behind the head, not inside it, and stays. A head is five times as thick,
and no fit is so far off."""
_ROUNDS = 3
"""Iterations of pushing points out along the normals of their nearest vertices, which change on the way. After the last
one no point moves any more."""
_IN_BODY = 0.12
"""Metres: ``_DEEP`` for the body, which is twice as thick from front to back."""
_BEND = 1.0
"""Smoothing of a strand's bend around a shoulder, in points (of 24 per strand): a centimetre or two."""


def over_shoulders(points: np.ndarray, head: np.ndarray, body: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Make strands (G, P, 3) fall over shoulders and chest instead of through them, and end where the body ends.

    head : (V, 3) vertices of the head, near which nothing moves. body : (B, 3) and its quads (F, 4), open below.
    """
    matrix, quads = catmull_clark(quads, len(body))
    body = np.asarray(matrix @ body, np.float64)
    moved = _above(points.astype(np.float64), body[:, 1].min())
    near_body = cKDTree(np.concatenate([head, body])).query(moved)[1] >= len(head)
    shift = np.zeros_like(moved)
    shift[near_body] = outside(moved[near_body], body, triangulate(quads).faces, _IN_BODY) - moved[near_body]
    fallen = moved + gaussian_filter1d(shift, _BEND, axis=1, mode="nearest")
    return fallen.astype(np.float32)


def _above(points: np.ndarray, height: float) -> np.ndarray:
    """Strands (G, P, 3), each cut where it first falls below a height, and resampled."""
    result = points.copy()
    for guide in np.flatnonzero((points[..., 1] < height).any(1)):
        first = int((points[guide, :, 1] < height).argmax())
        if first > 0:
            above, below = points[guide, first - 1, 1], points[guide, first, 1]
            end = first - 1 + (above - height) / (above - below)
            places = np.arange(points.shape[1])
            wanted = np.linspace(0.0, end, len(places))
            result[guide] = np.stack([np.interp(wanted, places, axis) for axis in points[guide].T], 1)
    return result


def outside(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, deep: float = _DEEP) -> np.ndarray:
    """Points (..., 3) pushed out of a surface along its normals until they are ``_ABOVE`` metres above it. Points more
    than ``deep`` metres inside stay."""
    normals = vertex_normals(vertices, triangles)
    tree = cKDTree(vertices)
    moved = points.reshape(-1, 3).copy()
    for _ in range(_ROUNDS):
        _, near = tree.query(moved, k=3)
        offset = moved[:, None] - vertices[near]
        height = (offset * normals[near]).sum(-1).mean(1)
        inside = (height < _ABOVE) & (height > -deep)
        normal = normals[near].mean(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        moved[inside] += normal[inside] * (_ABOVE - height[inside])[:, None]
    return moved.reshape(points.shape)


def apart(places: np.ndarray, spacing: float) -> np.ndarray:
    """Numbers of places (N, 3), taken in random order, that are ``spacing`` from each other and close to none else."""
    order = np.random.default_rng(1).permutation(len(places))
    tree = cKDTree(places)
    free, chosen = np.ones(len(places), bool), []
    for number in order:
        if free[number]:
            chosen.append(number)
            free[tree.query_ball_point(places[number], spacing)] = False
    return np.array(chosen, int)
