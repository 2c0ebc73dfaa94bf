"""The landmark detector's errors: a bias by head pose and distance, correlated modes, and a residual, measured once on
rendered people; in per cent of ``detector_model.face_scale``, in the head's own upright picture axes. Beside them a
first pose from its landmarks, and the tongue by its colour, which no landmark shows.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from backend.errors import LikenessError
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import CameraPrior
from backend.geometry.template import Template
from backend.models.registry import LANDMARK_NET
from backend.photos.collection import PhotoFace
from backend.photos.faces import landmark_window
from backend.system.files import ASSETS, read_asset, read_metadata, write_arrays

DETECTOR_PATH = ASSETS / "landmark_detector.safetensors"
SURFACE_ERRORS_PATH = ASSETS / "landmarks" / "errors.safetensors"
"""Error model of the landmark net; its ``deviation`` is a factor on the deviation that the net predicts."""
NET_VERSION = "landmark_net"
"""Name of the string in that file that says whose errors they are."""
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


def load_surface_errors(folder: Path = SURFACE_ERRORS_PATH.parent) -> DetectorModel | None:
    """The error model of the landmark net in ``folder``; None where there is no net, or its errors were never measured.

    Raises ``LikenessError`` where the errors are those of another net: with them, half of a better net's gain is lost.
    """
    path, shards = folder / SURFACE_ERRORS_PATH.name, sorted(folder.glob(f"{LANDMARK_NET.name}-*.safetensors"))
    if not path.is_file() or not shards:
        return None
    if read_metadata(path).get(NET_VERSION) != read_metadata(shards[0]).get("version"):
        sentence = f"The file {folder.name}/{path.name} has the errors of another landmark net."
        raise LikenessError("missing_part", sentence, "Measure them: python -m trainer landmark-errors.")
    return load_detector_model(path)


def save_detector_model(model: DetectorModel, path: Path = DETECTOR_PATH, net_version: str = "") -> None:
    """Write the model as float16; ``net_version``: fingerprint of the landmark net whose errors they are."""
    arrays = {"bias": model.bias, "modes": model.modes, "deviation": model.deviation, "shown": model.shown}
    metadata = {NET_VERSION: net_version} if net_version else {}
    write_arrays(path, {name: array.astype(np.float16) for name, array in arrays.items()}, metadata)


def face_scale(landmarks: np.ndarray) -> float:
    """Size of the face in pixels, nearly independent of the head's turn: the larger of the distance of the eyes' outer
    corners and half of the face's height, from (478, 3) landmarks. On the frontal mean face the first is 7 % larger."""
    eyes = np.linalg.norm(landmarks[OUTER_EYE_CORNERS[0], :2] - landmarks[OUTER_EYE_CORNERS[1], :2])
    height = np.linalg.norm(landmarks[UPRIGHT[0], :2] - landmarks[UPRIGHT[1], :2])
    return float(max(eyes, 0.5 * height))


def camera_prior(face: PhotoFace, prior: PriorWeights) -> CameraPrior:
    """Prior over this photo's camera: by the EXIF focal length where it is known, else a prior over distance."""
    known = face.focal_px is not None
    return CameraPrior(
        log_distance=math.log(prior.distance_metres),
        log_distance_deviation=prior.distance_log_deviation if not known else 2.0,
        set_deviation=prior.distance_set_deviation,
        log_focal=math.log(face.focal_px * face.crop_scale) if face.focal_px is not None else None,
        log_focal_deviation=prior.focal_log_deviation,
        principal_deviation=prior.principal_point_deviation * (0.1 if known else 1.0),
    )


def initial_parameters(
    template: Template, face: PhotoFace, prior: PriorWeights, nuisance_size: int, shape: np.ndarray | None = None
) -> PhotoParameters:
    """Pose by perspective-n-point on the landmarks of ``shape`` (V, 3), by default the mean face."""
    embedding = template.landmarks478
    chosen = np.flatnonzero(embedding.valid)
    shape = template.vertices if shape is None else shape
    model = embedding.positions(shape)[chosen].astype(np.float64)
    image = face.landmarks[chosen, :2].astype(np.float64)
    centre = face.lens_centre
    if face.focal_px is not None:
        focal = face.focal_px * face.crop_scale
    else:
        upright = embedding.positions(shape) * [1.0, -1.0, 1.0]
        focal = face_scale(face.landmarks) / face_scale(upright) * prior.distance_metres
    intrinsics = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
    found, rotation_vector, translation = cv2.solvePnP(model, image, intrinsics, None, flags=cv2.SOLVEPNP_SQPNP)
    rotation, _ = cv2.Rodrigues(rotation_vector)
    pivot = model.mean(0)
    in_camera = rotation @ pivot + translation[:, 0]
    depth = float(in_camera[2])
    if not found or depth <= 0.05:
        raise ValueError(f"no pose explains the landmarks of {face.name}")
    return PhotoParameters(
        rotation=rotation,
        pivot=pivot,
        lateral=in_camera[:2] / depth,
        log_scale=math.log(focal / depth),
        log_distance=math.log(depth),
        principal_offset=np.zeros(2),
        centre=centre,
        size=(face.pixels.shape[1], face.pixels.shape[0]),
        expression=np.zeros(len(template.expressions)),
        nuisance=np.zeros(nuisance_size),
    )


def turned_to(
    parameters: PhotoParameters, rotation: np.ndarray, points: np.ndarray, found: np.ndarray, keep_focal: bool
) -> PhotoParameters | None:
    """The pose with another rotation; place and size by least squares on landmarks. None where the scale is negative.

    Parameters
    ----------
    rotation : (3, 3) camera_from_head. points : (M, 3) landmarks on the head. found : (M, 2) in the crop's pixels.
    keep_focal : keep the focal length, so that the distance follows from the size; else keep the distance.
    """
    turned = (points - parameters.pivot) @ rotation.T
    # pixel - centre = scale * turned_xy / nearness + shift / nearness is linear in scale and shift
    nearness = 1.0 + turned[:, 2:] / parameters.distance  # (M, 1)
    design = np.zeros((2 * len(points), 3))
    design[:, 0] = (turned[:, :2] / nearness).ravel()
    design[0::2, 1] = design[1::2, 2] = 1.0 / nearness[:, 0]
    scale, *shift = np.linalg.lstsq(design, (found - parameters.principal_point).ravel(), rcond=None)[0]
    if scale <= 0:
        return None
    log_scale, log_distance = math.log(scale), parameters.log_distance
    if keep_focal:
        log_distance += parameters.log_scale - log_scale
    lateral = np.array(shift) / scale / math.exp(log_distance)
    return replace(parameters, rotation=rotation, log_scale=log_scale, log_distance=log_distance, lateral=lateral)


def landmark_error(parameters: PhotoParameters, points: np.ndarray, found: np.ndarray) -> float:
    """Median distance in pixels of landmarks on the head (M, 3), projected, from those in the picture (M, 2)."""
    return float(np.median(np.linalg.norm(parameters.camera().project(points)[:, :2] - found, axis=-1)))


WINDOW_PER_FACE, WINDOW_PIXELS = 1.25, 144
UPPER_LINE = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LINE = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Landmarks of the inner lips, from the right corner to the left."""
CORNERS, MIDDLES = (61, 291), (13, 14)
CHEEKS = (50, 280, 205, 425, 187, 411)
COLUMNS = np.linspace(0.15, 0.85, 24)
DEPTHS = np.linspace(0.45, 0.95, 10)
"""Sampled places: along the lips, and from the upper lip (0) to the lower."""
LIGHTNESS, REDNESS = 0.66, 1.0
"""Least lightness of a tongue relative to the cheeks', and its least redness above theirs (8-bit CIELAB)."""
FULL_COLUMN = 0.8
OPENING = (0.22, 0.32)
"""Opening per mouth width up to which the result is 0, and from which on it has full weight."""
SHARE = (0.2, 0.45)
"""Share of tongue-coloured columns up to which no tongue is out (children's open mouths reach 0.12), and from which on
it is fully out."""


def tongue_out(window: np.ndarray, points: np.ndarray) -> float:
    """How far a tongue is out, 0 to 1.

    Parameters
    ----------
    window : (H, W, 3) uint8 sRGB, the face upright. points : (478, 2) landmarks in its pixels.
    """
    upper, lower = (_along(points[list(line)]) for line in (UPPER_LINE, LOWER_LINE))  # (24, 2)
    width = float(np.linalg.norm(points[CORNERS[0]] - points[CORNERS[1]]))
    opening = float(np.linalg.norm(points[MIDDLES[0]] - points[MIDDLES[1]])) / max(width, 1.0)
    if opening <= OPENING[0]:
        return 0.0
    lab = cv2.cvtColor(window, cv2.COLOR_RGB2LAB).astype(np.float32)
    around = np.arange(-2, 3)
    offsets = np.stack(np.meshgrid(around, around), axis=-1).reshape(1, 25, 2)
    skin = np.median(_colours(lab, points[list(CHEEKS)][:, None] + offsets).reshape(-1, 3), axis=0)
    depth = DEPTHS[None, :, None]
    inside = _colours(lab, upper[:, None] * (1.0 - depth) + lower[:, None] * depth)  # (24, 10, 3)
    tongue = (inside[..., 0] > LIGHTNESS * skin[0]) & (inside[..., 1] > skin[1] + REDNESS)
    share = float((tongue.mean(axis=1) > FULL_COLUMN).mean())
    return _ramp(opening, OPENING) * _ramp(share, SHARE)


def _along(line: np.ndarray) -> np.ndarray:
    """(24, 2) points at ``COLUMNS`` of a line (N, 2)."""
    places = np.linspace(0.0, 1.0, len(line))
    return np.stack([np.interp(COLUMNS, places, line[:, axis]) for axis in range(2)], axis=1)


def _colours(lab: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(A, B, 3) samples of a picture at points (A, B, 2)."""
    points = points.astype(np.float32)
    return cv2.remap(lab, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _ramp(value: float, ends: tuple[float, float]) -> float:
    return float(np.clip((value - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0))


def tongue_of_photo(face: PhotoFace) -> float:
    """``tongue_out`` of a photo's face; 0 where its mouth is masked, and of faces that are too small for it: JPEG has
    half as many pixels of colour, and lips of small pictures run into the mouth."""
    if face.unseen is not None and face.unseen[list(UPPER_LINE + LOWER_LINE)].any():
        return 0.0
    window = landmark_window(face.landmarks, WINDOW_PER_FACE)
    if window.side * np.sqrt(abs(np.linalg.det(face.file_from_crop[:2, :2]))) < 2 * WINDOW_PIXELS:
        return 0.0
    points = window.from_picture(face.landmarks[:, :2], WINDOW_PIXELS)
    return tongue_out(window.cut(face.pixels, WINDOW_PIXELS), points)
