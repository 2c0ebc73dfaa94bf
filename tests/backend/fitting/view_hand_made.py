"""Cameras at known places around a head."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.template import Template


def view(
    template: Template, yaw: float, side: int, pixels_per_metre: float, distance: float, **changes: object
) -> PhotoParameters:
    """The neutral head, turned by ``yaw`` degrees, in the middle of a picture of ``side`` x ``side`` pixels; with
    ``changes``."""
    values = {
        "rotation": FACING_CAMERA @ Rotation.from_euler("y", yaw, degrees=True).as_matrix(),
        "pivot": template.landmarks68.positions(template.vertices).mean(0).astype(np.float64),
        "lateral": np.zeros(2),
        "log_scale": float(np.log(pixels_per_metre)),
        "log_distance": float(np.log(distance)),
        "principal_offset": np.zeros(2),
        "centre": np.array([side / 2, side / 2]),
        "size": (side, side),
        "expression": np.zeros(52),
        "nuisance": np.zeros(0),
    }
    return PhotoParameters(**(values | changes))
