"""Warp a face's grey texture to the mean face's frontal view by its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.spatial import Delaunay

from backend.photos.faces.landmarks import MESH_COUNT, mean_landmarks

FRONTAL_SIDE = 96
"""Pixels: side of the frontal views on which the identity descriptor was trained."""


@dataclass(frozen=True)
class FrontalGrid:
    """Position of each pixel of the frontal view on the landmark mesh.

    Attributes
    ----------
    landmarks : (S * S, 3) landmark indices of the triangle that contains the pixel.
    weights : (S * S, 3) barycentric weights.
    inside : (S, S) bool, whether the pixel is on the face.
    """

    landmarks: np.ndarray
    weights: np.ndarray
    inside: np.ndarray


@cache
def mesh_triangles() -> np.ndarray:
    """(T, 3) triangles of the 468 mesh landmarks with consistent winding: Delaunay in x and y of the mean face."""
    points = mean_landmarks().points[:MESH_COUNT, :2]
    triangles = Delaunay(points).simplices
    a, b, c = (points[triangles[:, k]] for k in range(3))
    turned = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0
    return np.where(turned[:, None], triangles[:, ::-1], triangles)


@cache
def frontal_grid() -> FrontalGrid:
    """The grid for ``FRONTAL_SIDE``, from a Delaunay triangulation of the mean face's landmarks in x and y."""
    points = mean_landmarks().points[:MESH_COUNT, :2]
    extent = np.ptp(points, axis=0)
    scale = (FRONTAL_SIDE - 1) / extent.max()
    points = (points - points.min(axis=0)) * scale + (FRONTAL_SIDE - extent * scale) / 2
    triangles = Delaunay(points)
    axis = np.arange(FRONTAL_SIDE) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    found = triangles.find_simplex(pixels)
    transform = triangles.transform[found]
    two = np.einsum("nij,nj->ni", transform[:, :2], pixels - transform[:, 2])
    weights = np.concatenate([two, 1 - two.sum(axis=1, keepdims=True)], axis=1)
    return FrontalGrid(triangles.simplices[found], weights, (found >= 0).reshape(FRONTAL_SIDE, FRONTAL_SIDE))


def frontal_texture(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(96, 96) float32 grey levels 0-255 of the face in (H, W, 3) pixels with landmarks (478, 3), frontal.

    Values outside the face are undefined. The image should show the face at about this size or slightly larger.
    """
    grid = frontal_grid()
    at = np.einsum("nk,nkc->nc", grid.weights, landmarks[grid.landmarks, :2])
    at = at.reshape(FRONTAL_SIDE, FRONTAL_SIDE, 2).astype(np.float32) - 0.5
    warped = cv2.remap(pixels, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(warped, cv2.COLOR_RGB2GRAY).astype(np.float32)
