"""Visibility of a mesh in a camera: depth maps and soft visibility of vertices and points, by a depth buffer."""

from __future__ import annotations

import numpy as np
import torch

from backend.rendering.camera import Camera
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

DEPTH_BIAS = 0.001
"""Metres by which a point may lie behind the depth buffer and still be visible; the slope is added."""


def depth_map(vertices: np.ndarray, faces: np.ndarray, camera: Camera, *, backend: str = "auto") -> np.ndarray:
    """Camera depth (H, W) float32 in metres at pixel centres, inf where there is no face.

    vertices : (V, 3) head frame, metres. faces : (F, 3). Size: the camera's.
    """
    width, height = camera.size
    points = torch.from_numpy(camera.project(np.asarray(vertices, np.float64)))[None]
    triangles = torch.from_numpy(np.array(faces, np.int64))
    found = fragments(face_ids(points, triangles, (height, width), backend=backend), triangles)
    depth = fragment_values(points[..., 2:], found, fragment_barycentrics(points, found))
    return found.scatter(depth, torch.inf)[0, ..., 0].numpy().astype(np.float32)


def facing_cosine(points: np.ndarray, normals: np.ndarray, camera: Camera) -> np.ndarray:
    """(P,) cosine of the angle between unit normals (P, 3) and the direction to the camera; negative: turned away."""
    to_camera = camera.centre() - points
    return (normals * to_camera).sum(-1) / np.maximum(np.linalg.norm(to_camera, axis=-1), 1e-12)


def point_visibility(
    points: np.ndarray, camera: Camera, depth: np.ndarray, *, bias: float = DEPTH_BIAS, slope_scale: float = 1.5
) -> np.ndarray:
    """(P,) float in [0, 1]: share of the depth buffer around each point that does not occlude it.

    Sums the bilinear weights of those of the four pixel centres around a point at which the point is not behind the
    buffer by more than ``bias`` plus ``slope_scale`` times the buffer's own change over a pixel. Points outside the
    picture or behind the camera are 0. Back-facing surfaces are not excluded: see ``facing_cosine``.

    Parameters
    ----------
    points : (P, 3) head frame, metres. depth : (H, W) of ``depth_map``, inf where empty.
    bias : metres.
    """
    height, width = depth.shape
    projected = camera.project(np.asarray(points, np.float64))
    with np.errstate(invalid="ignore"):
        inside = (projected[:, 2] > 0) & (projected[:, :2] >= 0).all(-1) & (projected[:, :2] < (width, height)).all(-1)
    limit = depth + bias + slope_scale * _slope(depth)
    visible = np.zeros(len(projected))
    x, y, z = projected[inside].T
    column, row = np.floor(x - 0.5), np.floor(y - 0.5)
    right, down = x - 0.5 - column, y - 0.5 - row
    total = np.zeros(len(x))
    for step_y, weight_y in ((0, 1 - down), (1, down)):
        for step_x, weight_x in ((0, 1 - right), (1, right)):
            rows = np.clip(row + step_y, 0, height - 1).astype(int)
            columns = np.clip(column + step_x, 0, width - 1).astype(int)
            total += weight_x * weight_y * (z <= limit[rows, columns])
    visible[inside] = total
    return visible


def _slope(depth: np.ndarray) -> np.ndarray:
    """(H, W) depth change over a pixel, sum of x and y, each on its flatter side to ignore steps at silhouettes."""
    total = np.zeros_like(depth)
    for axis in (0, 1):
        with np.errstate(invalid="ignore"):
            step = np.abs(np.diff(depth, axis=axis))
        step = np.where(np.isfinite(step), step, np.inf)
        first, last = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        first[axis], last[axis] = (1, 0), (0, 1)
        before = np.pad(step, first, constant_values=np.inf)
        after = np.pad(step, last, constant_values=np.inf)
        smaller = np.minimum(before, after)
        total += np.where(np.isfinite(smaller), smaller, 0)
    return total
