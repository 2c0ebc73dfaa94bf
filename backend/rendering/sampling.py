"""Bilinear samples of pictures at points. Pixel centres are at i + 0.5; beyond the border its pixels are repeated."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn.functional import grid_sample

_CHANNELS = 4
"""Channels that OpenCV samples at once."""
_ROW = 2048
"""Points in a row of OpenCV's maps, which must have less than 32,768 columns."""


def sample_image(
    image: np.ndarray, points: np.ndarray, interpolation: int = cv2.INTER_LINEAR, outside: float | None = None
) -> np.ndarray:
    """Sample an image (H, W) or (H, W, C), uint8 or float32, at points (P, 2); (P,) or (P, C) of its type.

    OpenCV's, fast; points are rounded to a 32nd of a pixel. ``outside`` : value beyond the border instead of its
    pixels.
    """
    if image.ndim == 3 and image.shape[2] > _CHANNELS:
        parts = (np.ascontiguousarray(image[..., k : k + _CHANNELS]) for k in range(0, image.shape[2], _CHANNELS))
        return np.concatenate([sample_image(part, points, interpolation, outside) for part in parts], -1)
    count = len(points)
    grid = np.zeros((-(-count // _ROW) * _ROW, 2), np.float32)
    grid[:count] = points - 0.5
    border = {"borderMode": cv2.BORDER_REPLICATE}
    if outside is not None:
        border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": outside}
    sampled = cv2.remap(image, grid.reshape(-1, _ROW, 2), None, interpolation, **border) if count else image[:0, 0]
    return sampled.reshape(-1, *image.shape[2:])[:count]


def sample_exactly(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sample an image (H, W) or (H, W, C) at points (..., 2), as they are; (...) or (..., C) of its type."""
    at = np.moveaxis(points[..., ::-1], -1, 0) - 0.5
    if image.ndim == 2:
        return map_coordinates(image, at, order=1, mode="nearest")
    return np.stack([map_coordinates(image[..., c], at, order=1, mode="nearest") for c in range(image.shape[-1])], -1)


def sample_texture(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Sample a texture (H, W, C) at UV coordinates (..., 2), v up; (..., C)."""
    height, width = texture.shape[:2]
    return sample_exactly(texture, np.stack([uv[..., 0] * width, (1 - uv[..., 1]) * height], -1))


def sample_points(pictures: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Sample pictures (N, C, H, W) at points (N, P, 2), -1 and 1 at the borders; (N, P, C). ``padding``: see
    ``grid_sample``."""
    return grid_sample(pictures, grid[:, None], padding_mode=padding, align_corners=False)[:, :, 0].transpose(1, 2)
