"""Whether a face has a moustache, and whether it has a beard, by edges and tones of its lower half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.photos.edge_strip import edge_strip, eye_line_angle, load_classifier
from backend.photos.landmarks import CHIN, landmark_window

_NOSE_BASE = 2
_STRIP_PER_FACE = 0.8
_TONE_WEIGHT = 0.35
"""Of tones against edges in a ridge regression: with 1 the tones' larger spread would go nearly unpenalised."""


@dataclass(frozen=True)
class FacialHairScores:
    """Log odds of hair on the upper lip (a moustache) and on the chin (a beard)."""

    lip: float
    chin: float


def facial_hair_scores(pixels: np.ndarray, landmarks: np.ndarray) -> FacialHairScores:
    """For the face with landmarks (478, 3) in (H, W, 3) sRGB pixels.

    Linear classifiers, trained on portraits that somebody labelled (``trainer.portrait_statistics``).
    """
    features = lower_face_features(pixels, landmarks)
    return FacialHairScores(
        load_classifier("moustache_classifier").log_odds(features),
        load_classifier("beard_classifier").log_odds(features),
    )


def lower_face_features(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(1152,) float32: edges and tones of the strip between nose and chin."""
    centre = (landmarks[_NOSE_BASE, :2] + landmarks[CHIN, :2]) / 2
    width = _STRIP_PER_FACE * landmark_window(landmarks, 1.0).side
    strip = edge_strip(pixels, centre, width, eye_line_angle(landmarks))
    return np.concatenate([strip.edges, _TONE_WEIGHT * strip.tones])
