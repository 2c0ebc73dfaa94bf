"""One face in one photo, as input of the screening."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.models.parsing.accessories import AccessoryScores
from backend.photos.collection import PhotoQuality
from backend.photos.faces.landmarks import HeadPose, landmark_window
from backend.photos.screening.settings import SCREENING


@dataclass(frozen=True)
class FaceCandidate:
    """One face in one photo.

    Attributes
    ----------
    photo : index of the photo in the given order.
    landmarks : (478, 3) float32 in pixels of the decoded photo.
    size_px : height of the face in pixels of the decoded photo.
    pose : approximate rotation of the head.
    descriptor : vector of ``identity.IdentityModel``.
    fingerprint : unit vector, nearly equal for copies of one image, see ``picture_fingerprint``.
    small_crop : (S, S, 3) uint8 head crop, S at most 512.
    small_labels : (S, S) uint8 of ``FaceClass``.
    accessories : accessory scores used for the labels; None where labels were made by colour.
    small_factor : pixels of ``small_crop`` per pixel of the full crop.
    quality : see ``PhotoQuality``.
    """

    photo: int
    landmarks: np.ndarray
    size_px: float
    pose: HeadPose
    descriptor: np.ndarray
    fingerprint: np.ndarray
    small_crop: np.ndarray
    small_labels: np.ndarray
    accessories: AccessoryScores | None
    small_factor: float
    quality: PhotoQuality


def picture_fingerprint(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(576,) unit vector: the face's grey levels, upright, high-pass filtered.

    The dot product of two is above ``ScreeningSettings.same_picture`` if one image is a resized, recompressed or
    recoloured copy of the other; two shots of one session stay below.
    """
    side, border = SCREENING.fingerprint_side, SCREENING.fingerprint_border
    grey = cv2.cvtColor(landmark_window(landmarks, 1.6).cut(pixels, 4 * side), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    inner = small[border:-border, border:-border]
    detail = inner - cv2.GaussianBlur(inner, (0, 0), 6)
    return detail.ravel() / max(float(np.linalg.norm(detail)), 1e-6)


def mirrored_fingerprint(fingerprint: np.ndarray) -> np.ndarray:
    """The fingerprint of the mirrored image."""
    side = SCREENING.fingerprint_side - 2 * SCREENING.fingerprint_border
    return fingerprint.reshape(side, side)[:, ::-1].ravel()
