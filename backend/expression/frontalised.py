"""Frontalised landmarks: rigid pose by the points that expressions hardly move, and the residual of each landmark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from backend.fitting.detector_model import upright_axes
from backend.fitting.initial_pose import face_scale
from backend.geometry.outline import OUTLINE_LANDMARKS
from backend.geometry.template import load_template
from backend.models.landmarks.network import net_points
from backend.photos.faces.landmarks import rigid_indices

DISTANCE = 0.9
"""Assumed distance of the face in metres, so that the rotation does not depend on the unknown focal length."""
_UPPER_OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 127, 162, 21, 54, 103, 67, 109)


@cache
def steady_landmarks() -> np.ndarray:
    """Landmarks that expressions move little and that lie inside the face's outline."""
    valid = np.flatnonzero(load_template().landmarks478.valid)
    return np.setdiff1d(np.intersect1d(rigid_indices(), valid), [*OUTLINE_LANDMARKS, *_UPPER_OUTLINE])


@dataclass(frozen=True)
class FrontalisedFace:
    """A face with its rigid pose removed.

    Attributes
    ----------
    rotation : (3, 3) from the head frame to a camera that looks straight at the face's middle.
    middle : (2,) pixels of that middle.
    residual : (478, 2) found minus neutral along the head's upright axes in the picture, per cent of ``face_scale``.
    depth : (478,) pixels away from the camera of the neutral landmarks, relative to the mean of ``steady_landmarks``.
    turn : (2,) radians: direction of the camera in the head frame, to the person's left and above.
    """

    rotation: np.ndarray
    middle: np.ndarray
    residual: np.ndarray
    depth: np.ndarray
    turn: np.ndarray


def frontalised_face(found: np.ndarray, neutral: np.ndarray) -> FrontalisedFace:
    """Frontalise landmarks (478, 2 or 3) in pixels; ``neutral`` : the person's (478, 3) metres, head frame.

    Raises ``ValueError`` when no pose explains them.
    """
    steady = steady_landmarks()
    points, pixels = neutral[steady].astype(np.float64), found[steady, :2].astype(np.float64)
    middle, scale = pixels.mean(0), face_scale(found)
    focal = scale / 0.09 * DISTANCE
    rotation, translation = _pose(points, pixels, focal, middle)
    focal *= DISTANCE / (rotation @ points.mean(0) + translation)[2]
    rotation, translation = _pose(points, pixels, focal, middle)
    seen = neutral @ rotation.T + translation
    projected = focal * seen[:, :2] / seen[:, 2:] + middle
    across = (found[:, :2] - projected) @ upright_axes(rotation)
    depth = (seen[:, 2] - seen[steady, 2].mean()) * focal / DISTANCE
    towards = -rotation.T @ translation - points.mean(0)
    towards /= np.linalg.norm(towards)
    return FrontalisedFace(
        rotation,
        middle,
        100.0 / scale * across,
        depth,
        np.array([np.arctan2(towards[0], towards[2]), np.arcsin(towards[1])]),
    )


def posed_depth(places: np.ndarray) -> np.ndarray:
    """(478,) pixels: depths of the mean face's landmarks in the pose of those at (478, 2) pixels, on the scale of
    ``PhotoFace.landmarks``. Raises ``ValueError`` when no pose explains them."""
    template = load_template()
    neutral = net_points().positions(template.vertices).astype(np.float64)
    return frontalised_face(places, neutral).depth


def _pose(points: np.ndarray, pixels: np.ndarray, focal: float, middle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    intrinsics = np.array([[focal, 0.0, middle[0]], [0.0, focal, middle[1]], [0.0, 0.0, 1.0]])
    try:
        found, turn, place = cv2.solvePnP(points, pixels, intrinsics, None, flags=cv2.SOLVEPNP_SQPNP)
        if found:
            start = turn, place, True
            found, turn, place = cv2.solvePnP(points, pixels, intrinsics, None, *start, cv2.SOLVEPNP_ITERATIVE)
    except cv2.error as error:
        raise ValueError("no pose explains the landmarks") from error
    rotation = cv2.Rodrigues(turn)[0]
    if not found or not np.isfinite(rotation).all() or (rotation @ points.mean(0) + place[:, 0])[2] <= 0.05:
        raise ValueError("no pose explains the landmarks")
    return rotation, place[:, 0]


def towards_point(lateral: np.ndarray) -> np.ndarray:
    """(3, 3) rotation that takes the optical axis to the direction (x, y, 1) of ``lateral`` (2,) without rolling."""
    direction = np.array([lateral[0], lateral[1], 1.0]) / np.sqrt(1.0 + float(lateral @ lateral))
    axis = np.array([-direction[1], direction[0], 0.0])
    sine = float(np.linalg.norm(axis))
    return Rotation.from_rotvec(axis / max(sine, 1e-12) * np.arctan2(sine, direction[2])).as_matrix()
