"""Ambient occlusion: the share of the light from all sides that reaches a point of the face."""

from __future__ import annotations

import numpy as np
import torch

from backend.geometry.sphere import spread_directions
from backend.rendering.rasterize import face_ids

_BOUNCE = 0.3  # share of the blocked light that the blocking skin reflects; about its albedo
_MOST_BLOCKED = 0.6  # share of the light at which openness reaches 0; darker cavities are not corrected by division


def _nearest_faces(vertices: np.ndarray, triangles: np.ndarray, directions: np.ndarray, resolution: int) -> np.ndarray:
    """(D, V) first face hit when looking at each vertex from far away, for directions (D, 3); -1 = none."""
    helper = np.where(np.abs(directions[:, 1:2]) < 0.9, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    right = np.cross(helper, directions)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    axes = np.stack([right, np.cross(directions, right), -directions], 2)  # (D, 3, 3)
    seen = vertices[None] @ axes  # (D, V, 3)
    low = seen.min(1, keepdims=True)
    scale = (resolution - 2) / np.maximum(np.ptp(seen[..., :2], axis=1).max(1), 1e-9)
    pixels = (seen - low) * scale[:, None, None] + np.array([1.0, 1.0, 1000.0])
    size = (resolution, resolution)
    ids = face_ids(torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(triangles), size).numpy()
    columns, rows = pixels[..., 0].astype(int), pixels[..., 1].astype(int)
    return ids[np.arange(len(directions))[:, None], rows, columns]


def openness(
    vertices: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    directions: int = 128,
    resolution: int = 128,
    bias: float = 0.004,
) -> np.ndarray:
    """Compute the open share of the hemisphere over each vertex.

    Parameters
    ----------
    vertices : (V, 3) metres, head frame; triangles : (F, 3); normals : (V, 3) unit.
    directions, resolution : number of directions tested, and edge of each depth buffer in pixels.
    bias : metres; nearer faces do not count as blocking.

    Returns
    -------
    (V,) float64, cosine-weighted: 1 where the hemisphere is fully open, 0 in a closed cavity.
    """
    triangles = np.ascontiguousarray(triangles, np.int64)
    vertices = vertices.astype(np.float64)
    corner = vertices[triangles]  # (F, 3, 3)
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    face_normal /= np.maximum(np.linalg.norm(face_normal, axis=1, keepdims=True), 1e-12)
    centroid = corner.mean(1)
    spread = spread_directions(directions)
    nearest = _nearest_faces(vertices, triangles, spread, resolution)  # (D, V)
    blocked_light = np.zeros(len(vertices))
    for direction, face in zip(spread, nearest, strict=True):
        slope = face_normal[face] @ direction
        to_face = np.where(  # distance along the direction from the vertex to the face hit first
            np.abs(slope) > 0.1,
            ((corner[face, 0] - vertices) * face_normal[face]).sum(1) / np.where(slope == 0, 1.0, slope),
            (centroid[face] - vertices) @ direction,
        )
        blocked = (face >= 0) & (to_face > bias)
        blocked_light += np.maximum(normals @ direction, 0.0) * blocked
    share = blocked_light * 4.0 * (1.0 - _BOUNCE) / directions
    return np.clip(1.0 - share / _MOST_BLOCKED, 0.0, 1.0)
