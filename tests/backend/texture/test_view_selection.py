"""Features come from photos in which they rest."""

from __future__ import annotations

import numpy as np

from backend.texture.blending import PhotoScore, detail_weights
from protocol.names import ARKIT_INDEX

SIZE = 100


def _score(quality: float, **expression: float) -> PhotoScore:
    weights = np.zeros(52)
    for name, value in expression.items():
        weights[ARKIT_INDEX[name]] = value
    flat = np.ones((SIZE, SIZE), np.float32)
    return PhotoScore(flat, flat, 0 * flat, 3000.0, quality, weights)


def test_a_feature_is_taken_from_the_photo_in_which_it_rests() -> None:
    lips = np.zeros((SIZE, SIZE), np.float32)
    lips[:30] = 1.0
    scores = [_score(0.6), _score(0.9, jawOpen=0.8, mouthSmileLeft=0.9, mouthSmileRight=0.9)]
    calm, laughing = detail_weights(scores, {"lips": lips})
    assert calm[:25].min() > 0.95, "the laughing photo is better"
    assert laughing[40:].min() > 0.9, "but not at the lips"
