"""Depth and normal errors in a view, as Unsup3D and LAP report them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_erosion


def comparison_mask(true_mask: np.ndarray, predicted_mask: np.ndarray) -> np.ndarray:
    """Pixels to compare: (H, W) bool, the intersection of both masks, each eroded by one pixel (3 x 3)."""
    square = np.ones((3, 3), bool)
    return binary_erosion(true_mask, square) & binary_erosion(predicted_mask, square)


def side(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Scale-invariant depth error (Eigen et al. 2014): sqrt(mean(D^2) - mean(D)^2), D = log predicted - log true.

    Parameters
    ----------
    predicted, true : (H, W) depths > 0 inside ``mask``, any common unit. mask : (H, W) bool, not empty.
    """
    chosen = _chosen(mask)
    difference = np.log(predicted[chosen]) - np.log(true[chosen])
    return float(np.sqrt(((difference - difference.mean()) ** 2).mean()))


def depth_normals(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(H, W, 3) unit normals of a depth map (H, W) from central differences of its camera points; border pixels copy
    their neighbours'. ``intrinsics`` (3, 3), pixel centres at i + 0.5; normals point towards the camera (z < 0)."""
    height, width = depth.shape
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    points = rays * depth[..., None]
    across = points[1:-1, 2:] - points[1:-1, :-2]
    down = points[2:, 1:-1] - points[:-2, 1:-1]
    normals = np.cross(down, across)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
    return np.pad(normals, ((1, 1), (1, 1), (0, 0)), mode="edge")


def mad(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Mean angle deviation in degrees between unit normals (H, W, 3) over ``mask`` (H, W)."""
    chosen = _chosen(mask)
    cosine = (predicted[chosen] * true[chosen]).sum(-1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def _chosen(mask: np.ndarray) -> np.ndarray:
    chosen = np.asarray(mask, dtype=bool)
    if not chosen.any():
        raise ValueError("the mask is empty")
    return chosen
