"""Initial pose of one photo, from its landmarks and the mean face."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from backend.fitting.detector_model import OUTER_EYE_CORNERS, UPRIGHT
from backend.fitting.options import PriorWeights
from backend.fitting.parameters import PhotoParameters
from backend.fitting.solver import CameraPrior
from backend.geometry.template import Template
from backend.photos.collection import PhotoFace


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
    width, height = face.source_size
    offset = np.asarray(face.crop_offset, dtype=np.float64)
    centre = face.crop_scale * (np.array([width, height]) / 2.0 - offset)
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
