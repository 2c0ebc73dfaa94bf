"""Initialise the fit with LAP's light and view of each photo."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from backend.fitting.canonical_place import CanonicalPlace
from backend.fitting.initial_pose import turned_to
from backend.fitting.parameters import PhotoParameters
from backend.geometry.outline import usable_landmarks
from backend.geometry.template import Template
from backend.models.lap.canonical_face import CanonicalFace, CanonicalPhoto
from backend.photos.collection import PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import light_from_directions


def start_from_view(
    template: Template,
    face: PhotoFace,
    parameters: PhotoParameters,
    photo: CanonicalPhoto,
    place: CanonicalPlace,
) -> PhotoParameters:
    """Choose ``parameters`` or LAP's pose of the photo, by the reprojection error of the mean face's landmarks.

    Parameters
    ----------
    parameters : the pose by perspective-n-point; its focal length is kept. place : on the mean head.
    """
    roll = Rotation.from_euler("z", photo.window.angle + photo.alignment.tilt).as_matrix()
    rotation = roll @ photo.rotation @ place.rotation
    chosen = np.flatnonzero(usable_landmarks(template))
    points = template.landmarks478.positions(template.vertices)[chosen].astype(np.float64)
    found = face.landmarks[chosen, :2].astype(np.float64)
    other = turned_to(parameters, rotation, points, found, keep_focal=True)
    if other is None:
        return parameters

    def error(guess: PhotoParameters) -> float:
        return float(np.median(np.linalg.norm(guess.camera().project(points)[:, :2] - found, axis=-1)))

    return other if error(other) < error(parameters) else parameters


def head_light(photo: CanonicalPhoto, place: CanonicalPlace) -> np.ndarray:
    """(9, 3) SH coefficients of LAP's light, grey, head frame.

    LAP's light multiplies sRGB values, so its factors in shadow and in full light are converted to linear light.
    """
    dark, full = linear_from_srgb(np.clip([photo.ambient, photo.ambient + photo.diffuse], 0.0, 1.0).astype(np.float64))
    to_lamp = place.rotation.T @ -photo.direction
    lamp, ambient = np.full((1, 3), max(full - dark, 0.0)), np.full(3, max(dark, 0.05))
    return np.asarray(light_from_directions(to_lamp[None], lamp, ambient), dtype=np.float64)


def head_lights(face: CanonicalFace, place: CanonicalPlace) -> tuple[np.ndarray, ...]:
    """``head_light`` of every photo."""
    return tuple(head_light(photo, place) for photo in face.photos)
