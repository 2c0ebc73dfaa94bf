"""What is where in a head crop: labels from landmarks, person segmentation and a skin colour learned per photo."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos import mediapipe_models
from backend.photos.collection import FaceClass
from backend.photos.regions import (
    BROW_RIGHT,
    EYE_RIGHT,
    FACE_OVAL,
    LIPS_INNER,
    LIPS_OUTER,
    grown,
    mirrored,
    polygon_mask,
)
from backend.photos.sampling import fit_inside

_WORK_SIDE = 512


def label_face(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(S, S) uint8 of ``FaceClass`` for a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels.

    Conservative: what is labelled SKIN is bare skin of the face.
    """
    small, factor = fit_inside(pixels, _WORK_SIDE)
    labels = _label_small(small, landmarks * factor)
    return labels if factor == 1.0 else enlarge_labels(labels, pixels)


def enlarge_labels(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Labels (S, S) of a reduced crop for the full crop ``pixels`` (T, T, 3)."""
    return cv2.resize(labels, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _label_small(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    side = pixels.shape[0]
    labels = np.full((side, side), FaceClass.BACKGROUND, np.uint8)
    labels[person_probability(pixels) > 0.5] = FaceClass.OCCLUDER
    labels[grown(polygon_mask(landmarks, FACE_OVAL, side), -0.01 * side)] = FaceClass.SKIN
    for brow in (BROW_RIGHT, mirrored(BROW_RIGHT)):
        labels[grown(polygon_mask(landmarks, brow, side), 0.006 * side)] = FaceClass.BROWS
    for eye in (EYE_RIGHT, mirrored(EYE_RIGHT)):
        labels[polygon_mask(landmarks, eye, side)] = FaceClass.EYES
    labels[polygon_mask(landmarks, LIPS_OUTER, side)] = FaceClass.LIPS
    labels[polygon_mask(landmarks, LIPS_INNER, side)] = FaceClass.MOUTH_INTERIOR
    return labels


def person_probability(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32, 0 to 1: how likely each pixel belongs to a person."""
    return np.asarray(mediapipe_models.person_segmenter().process(pixels).segmentation_mask, dtype=np.float32)
