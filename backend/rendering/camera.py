"""Perspective cameras in OpenCV's convention: x right, y down, z forward; pixel centres at i + 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A solved camera.

    Attributes
    ----------
    intrinsics : (3, 3) float64 K in pixels.
    camera_from_head : (4, 4) float64 rigid transform, row-major, from the head frame (metres, x to the person's
        left, y up, z out of the face) to the camera frame.
    size : (width, height) of the picture in pixels.
    """

    intrinsics: np.ndarray
    camera_from_head: np.ndarray
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project head-frame points (..., 3) in metres to (..., 3): x, y in pixels and camera depth in metres."""
        in_camera = points @ self.camera_from_head[:3, :3].T + self.camera_from_head[:3, 3]
        in_image = in_camera @ self.intrinsics.T
        return np.concatenate([in_image[..., :2] / in_image[..., 2:3], in_camera[..., 2:3]], axis=-1)

    def scaled(self, factor: float) -> Camera:
        """The same camera for the picture resized by ``factor`` (sizes are rounded)."""
        scale = np.diag([factor, factor, 1.0])
        width, height = self.size
        return Camera(scale @ self.intrinsics, self.camera_from_head, (round(width * factor), round(height * factor)))

    def centre(self) -> np.ndarray:
        """(3,) the camera's position in the head frame, metres."""
        return -self.camera_from_head[:3, :3].T @ self.camera_from_head[:3, 3]
