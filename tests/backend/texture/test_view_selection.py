"""Features come from photos in which they rest."""

from __future__ import annotations

import numpy as np

from backend.texture.blending import PhotoScore, detail_weights

SIZE = 100


def _score(quality: float, moved: float) -> PhotoScore:
    flat = np.ones((SIZE, SIZE), np.float32)
    return PhotoScore(flat, flat, 0 * flat, 3000.0, quality, moved * flat)


def test_a_feature_is_taken_from_the_photo_in_which_it_rests() -> None:
    lips = np.zeros((SIZE, SIZE), np.float32)
    lips[:30] = 1.0
    scores = [_score(0.6, 0.0005), _score(0.9, 0.006)]
    calm, laughing = detail_weights(scores, {"lips": lips})
    assert calm[:25].min() > 0.95, "the laughing photo is better"
    assert laughing[40:].min() > 0.9, "but not at the lips"
