"""Error model of the landmark detector: a bias by head pose and distance, correlated error modes, and a residual.

Measured by ``python -m trainer template --detector`` on rendered people whose true landmarks are known. All errors are
in per cent of ``initial_pose.face_scale``, in the head's own upright picture axes (x to the right when the head is
upright).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from backend.asset_file import read_asset
from backend.assets import ASSETS
from backend.fitting.parameters import PhotoParameters
from backend.safetensors_file import write_arrays

DETECTOR_PATH = ASSETS / "landmark_detector.safetensors"
SURFACE_ERRORS_PATH = ASSETS / "landmarks" / "errors.safetensors"
"""Error model of the landmark net; its ``deviation`` is a factor on the deviation that the net predicts."""
YAW_UNIT, PITCH_UNIT = 45.0, 20.0  # degrees
LARGEST_YAW, LARGEST_PITCH = 55.0, 30.0
NEAR_METRES = 0.5
OUTER_EYE_CORNERS = (33, 263)
UPRIGHT = (10, 152)
"""MediaPipe landmarks at the outer corners of the right and left eye; at the forehead's top and the chin."""


@dataclass(frozen=True)
class DetectorModel:
    """The detector's errors, per landmark.

    Attributes
    ----------
    bias : (8, 478, 2) coefficients of ``view_features``.
    modes : (M, 478, 2) correlated errors of one standard deviation each, different in every photo.
    deviation : (478,) standard deviation per axis of the residual.
    shown : (478,) share of a person's difference from the mean face that the landmarks show. It is below 1 because a
        detector trained for small mean error stays near the mean where it is unsure.
    """

    bias: np.ndarray
    modes: np.ndarray
    deviation: np.ndarray
    shown: np.ndarray


def view_features(
    yaw_degrees: np.ndarray | float, pitch_degrees: np.ndarray | float, distance_metres: np.ndarray | float
) -> np.ndarray:
    """(..., 8) features of a view: 1, yaw, yaw² - 1/2, pitch, yaw * pitch, in units of 45 and 20 degrees, and the
    nearness, alone and times yaw and pitch.

    The detector was trained on few faces from very near and underestimates their strong perspective.
    """
    yaw = np.clip(yaw_degrees, -LARGEST_YAW, LARGEST_YAW) / YAW_UNIT
    pitch = np.clip(pitch_degrees, -LARGEST_PITCH, LARGEST_PITCH) / PITCH_UNIT
    near = np.clip(NEAR_METRES / np.asarray(distance_metres, dtype=np.float64), 0.0, 2.0) - 0.5
    return np.stack([np.ones_like(yaw), yaw, yaw**2 - 0.5, pitch, yaw * pitch, near, near * yaw, near * pitch], axis=-1)


def turn_of(rotation: np.ndarray, towards_camera: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Yaw, pitch and upright axes of a head in a picture.

    Parameters
    ----------
    rotation : (3, 3) camera_from_head. towards_camera : (3,) from the face's middle to the camera, head frame.

    Returns
    -------
    yaw, pitch : degrees of the camera's direction in the head frame (positive: to the person's left, above).
    upright : (2, 2) ``upright_axes``.
    """
    direction = towards_camera / np.linalg.norm(towards_camera)
    yaw = float(np.degrees(np.arctan2(direction[0], direction[2])))
    pitch = float(np.degrees(np.arcsin(np.clip(direction[1], -1.0, 1.0))))
    return yaw, pitch, upright_axes(rotation)


def upright_axes(rotation: np.ndarray) -> np.ndarray:
    """(2, 2) matrix whose columns are a head's right and down axes in the picture, so that ``picture_offset =
    upright_axes @ head_offset``; rotation : (3, 3) camera_from_head."""
    down = -rotation[:2, 1] / max(float(np.linalg.norm(rotation[:2, 1])), 1e-6)
    return np.array([[down[1], down[0]], [-down[0], down[1]]])


def expected_errors(
    model: DetectorModel, parameters: PhotoParameters, scale_px: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the detector at this pose: bias (478, 2), modes (478, 2, M) and deviation (478,), in pixels."""
    camera = parameters.camera()
    yaw, pitch, upright = turn_of(parameters.rotation, camera.centre() - parameters.pivot)
    percent = scale_px / 100.0
    features = view_features(yaw, pitch, parameters.distance)
    bias = percent * np.tensordot(features, model.bias, 1) @ upright.T
    modes = percent * (model.modes @ upright.T).transpose(1, 2, 0)
    return bias, modes, percent * model.deviation


@lru_cache(maxsize=2)
def load_detector_model(path: Path = DETECTOR_PATH) -> DetectorModel:
    """The committed model; raises ``LikenessError`` when the file is missing or damaged."""
    arrays = read_asset(path).arrays
    bias, modes, deviation = (arrays[name].astype(np.float64) for name in ("bias", "modes", "deviation"))
    shown = arrays["shown"].astype(np.float64) if "shown" in arrays else np.ones(len(deviation))
    return DetectorModel(bias, modes, deviation, shown)


def load_surface_errors(path: Path = SURFACE_ERRORS_PATH) -> DetectorModel | None:
    """The landmark net's error model; None where it was never measured."""
    return load_detector_model(path) if path.is_file() else None


def save_detector_model(model: DetectorModel, path: Path = DETECTOR_PATH) -> None:
    """Write the model as float16."""
    arrays = {"bias": model.bias, "modes": model.modes, "deviation": model.deviation, "shown": model.shown}
    write_arrays(path, {name: array.astype(np.float16) for name, array in arrays.items()}, {})
