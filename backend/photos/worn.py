"""Glasses, moustache, beard: a face wears each of them or it does not, and all its pixels together decide that."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.landmarks import landmark_window
from backend.photos.regions import (
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    UPPER_LIP_SKIN,
    eyes_mask,
    grown,
    polygon_mask,
)

_WORN = 0.07
"""Mean probability from which it is worn. Of 29 portraits with glasses that the net had not seen all are above it, of
260 without more than nine in ten are below."""
_LIKELIER = 2.0
_AROUND_EYES = 0.13  # heights of the face


def settle_what_is_worn(probabilities: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities, settled as a whole; landmarks (478, 2 or 3) in their pixels.

    A net that looks pixel by pixel finds half a wire frame, or two specks of one in the bags under somebody's eyes.
    Where the mean probability of glasses around the eyes is high, less of it is enough for a pixel; where it is low
    there are none. Likewise moustaches on the upper lip and beards on the chin; hair on the cheeks is left as it is.
    """
    side, size = probabilities.shape[1], landmark_window(landmarks, 1.0).side
    odds = probabilities.copy()
    lips = polygon_mask(landmarks, LIPS_OUTER, side)
    lip = polygon_mask(landmarks, UPPER_LIP_SKIN, side) & ~lips
    chin = polygon_mask(landmarks, MOUTH_SURROUNDINGS, side) & ~lips & ~lip
    near = grown(eyes_mask(landmarks, side), _AROUND_EYES * size)
    everywhere = np.ones_like(lips)
    for face_class, evidence, where in (
        (FaceClass.GLASSES, near, everywhere),
        (FaceClass.FACIAL_HAIR, lip, lip),
        (FaceClass.FACIAL_HAIR, chin, chin),
    ):
        if evidence.any():
            worn = probabilities[face_class][evidence].mean() > _WORN
            odds[face_class][where] *= _LIKELIER if worn else 0.0
    return odds / np.maximum(odds.sum(axis=0), 1e-6)
