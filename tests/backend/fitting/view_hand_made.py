"""Cameras at known places around a head."""

import numpy as np
from plain_photo import plain_photo
from scipy.spatial.transform import Rotation

from backend.fitting.parameters import FACING_CAMERA, PhotoParameters
from backend.geometry.template import Template
from backend.models.landmarks import net_points
from backend.photos.collection import PhotoFace, SurfaceLandmarks


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


def seen_face(template: Template, vertices: np.ndarray, name: str, yaw: float, side: int = 600) -> PhotoFace:
    """A photo of ``side`` x ``side`` pixels of a head with vertices (V, 3), turned by ``yaw`` degrees: the detector's
    and the landmark net's points where they are, and no picture."""
    parameters = view(template, yaw, side, 2200.0, 1.2)
    camera = parameters.camera()
    return plain_photo(
        (side, side),
        name=name,
        focal_px=parameters.focal,
        landmarks=camera.project(template.landmarks478.positions(vertices)).astype(np.float32),
        yaw_degrees=-yaw,
        surface=SurfaceLandmarks(camera.project(net_points().positions(vertices))[:, :2], np.full(478, 2.0)),
    )
