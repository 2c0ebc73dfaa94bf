"""A camera before a head."""

from __future__ import annotations

import numpy as np

from backend.rendering.camera import Camera, look_at


def portrait_camera(target: np.ndarray, yaw: float, size: int, span: float = 0.34, distance: float = 1.2) -> Camera:
    """A camera that shows the head turned by ``yaw`` degrees to its left.

    target : (3,) metres, projected to the middle of the picture of ``size`` x ``size`` pixels. span : metres across the
    picture at the target. distance : metres from the target.
    """
    return look_at(yaw, 0.0, 0.0, distance, size * distance / span, (size, size), target)
