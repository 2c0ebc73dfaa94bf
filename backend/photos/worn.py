"""Glasses, moustache, beard, hat: a face wears each or it does not, and all its pixels together decide that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.landmarks import landmark_window
from backend.photos.regions import (
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    UPPER_LIP_SKIN,
    above_brows,
    eyes_mask,
    grown,
    polygon_mask,
)
from backend.photos.rims import rim_band

_WORN, _MOUSTACHE, _BEARD = 0.07, 0.24, 0.13
"""Mean probability over its place from which something is worn: glasses, hair on the upper lip, on the chin."""
_HEADWEAR, _HAT_LIKELIER = 0.17, 4.0
"""Share of what is above the brows that is a hat if one is worn."""
_MORE, _THERE = (2.0, 4.0, 8.0), 0.6
_SCORE_WEIGHT, _SCORE_NEUTRAL = 0.3, 0.5
_LIKELIER = 2.0
_ON_RIMS, _OFF_RIMS = 6.0, 1.5
_AROUND_EYES, _OVER = 0.13, 0.3  # heights of the face


def settle_what_is_worn(
    probabilities: np.ndarray, landmarks: np.ndarray, glasses_score: float | None = None
) -> np.ndarray:
    """(C, S, S) float32 class probabilities, settled as a whole; landmarks (478, 2 or 3) in their pixels.

    A net that looks pixel by pixel finds half a wire frame, or two specks of one in the bags under somebody's eyes.
    Where the mean probability of glasses around the eyes is high, less of it is enough for a pixel, on the rims that
    fit it best least of all; where it is low there are none. ``glasses_score`` (``glasses.glasses_score``, log odds by
    edges alone) has a say in that. Likewise moustaches on the upper lip and beards on the chin, by the net alone; hair
    on the cheeks is left as it is.
    """
    side, size = probabilities.shape[1], landmark_window(landmarks, 1.0).side
    odds = probabilities.copy()
    lips = polygon_mask(landmarks, LIPS_OUTER, side)
    lip = polygon_mask(landmarks, UPPER_LIP_SKIN, side) & ~lips
    chin = polygon_mask(landmarks, MOUTH_SURROUNDINGS, side) & ~lips & ~lip
    near = grown(eyes_mask(landmarks, side), _AROUND_EYES * size)
    if near.any():
        odds[FaceClass.GLASSES] *= _glasses_factor(probabilities[FaceClass.GLASSES], landmarks, near, glasses_score)
    hair = odds[FaceClass.FACIAL_HAIR]
    for where, least in ((lip, _MOUSTACHE), (chin, _BEARD)):
        if where.any():
            there = hair[where]
            hair[where] *= least_factor(there, 1 - there, _MORE, _THERE) if there.mean() > least else 0.0
    above = above_brows(landmarks, side)
    on_top = odds[:, above & _over_face(landmarks, side)][[FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER]].sum(
        axis=1
    )
    if on_top[2] > _HEADWEAR * on_top.sum():
        odds[FaceClass.OCCLUDER][above] *= _HAT_LIKELIER
        odds[FaceClass.SKIN][above] /= _HAT_LIKELIER
    return odds / np.maximum(odds.sum(axis=0), 1e-6)


def _over_face(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool: columns of the face, to ``_OVER`` of its height above it; others' hats are beyond."""
    places = np.arange(side) + 0.5
    columns = (places > landmarks[:, 0].min()) & (places < landmarks[:, 0].max())
    return (places > landmarks[:, 1].min() - _OVER * landmark_window(landmarks, 1.0).side)[:, None] & columns


def least_factor(own: np.ndarray, rest: np.ndarray, factors: Sequence[float], enough: float) -> float:
    """The least of ``factors``, in ascending order, on the odds of what a face wears that makes it likely over its
    place; else the last.

    own, rest : (P,) probabilities of it and of all else there. enough : mean probability from which it is likely.
    """
    for factor in factors:
        if (factor * own / np.maximum(factor * own + rest, 1e-6)).mean() > enough:
            return factor
    return factors[-1]


def _glasses_factor(
    probability: np.ndarray,
    landmarks: np.ndarray,
    near: np.ndarray,
    score: float | None,
) -> np.ndarray | float:
    """What the odds of glasses (S, S) are multiplied by: 0 where none are worn."""
    evidence = np.log(max(float(probability[near].mean()), 1e-6) / _WORN)
    if score is not None:
        evidence = evidence + _SCORE_WEIGHT * (score - _SCORE_NEUTRAL)
    if evidence <= 0:
        return 0.0
    rims = rim_band(probability, landmarks)
    return _LIKELIER if rims is None else np.where(rims, _ON_RIMS, _OFF_RIMS)
