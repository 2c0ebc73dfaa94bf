"""A camera in front of a head, for renders and tests."""

from __future__ import annotations

import numpy as np

from backend.rendering.camera import Camera

FACING = np.diag([1.0, -1.0, -1.0])
"""Rotation from the head frame (y up, z out of the face) to a camera that looks at the face (y down, z forward)."""


def portrait_camera(target: np.ndarray, yaw: float, size: int, span: float = 0.34, distance: float = 1.2) -> Camera:
    """A camera that shows the head turned by ``yaw`` degrees to its left.

    target : (3,) metres, projected to the middle of the picture of ``size`` x ``size`` pixels. span : metres across the
    picture at the target. distance : metres from the target.
    """
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    pose = np.eye(4)
    pose[:3, :3] = FACING @ turn
    pose[:3, 3] = np.array([0.0, 0.0, distance]) - pose[:3, :3] @ target
    focal = size * distance / span
    return Camera(np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]]), pose, (size, size))
