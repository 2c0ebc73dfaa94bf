"""Features come from photos in which they rest."""

from __future__ import annotations

import numpy as np

from backend.texture.blending import PhotoScore, rest_weights
from protocol.names import ARKIT_INDEX


def _score(**expression: float) -> PhotoScore:
    weights = np.zeros(52)
    for name, value in expression.items():
        weights[ARKIT_INDEX[name]] = value
    flat = np.ones((4, 4), np.float32)
    return PhotoScore(flat, flat, 0 * flat, 3000.0, 1.0, weights)


def test_a_feature_is_taken_from_photos_in_which_it_rests() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[:2] = 1.0
    calm, laughing = rest_weights(
        [_score(), _score(jawOpen=0.8, mouthSmileLeft=0.9, mouthSmileRight=0.9)], {"lips": mask}
    )
    assert (calm == 1.0).all()
    assert laughing[:2].max() < 0.2 and laughing[2:].min() == 1.0


def test_if_no_photo_is_at_rest_the_calmest_counts_in_full() -> None:
    mask = np.ones((4, 4), np.float32)
    less, more = rest_weights([_score(jawOpen=0.3), _score(jawOpen=0.6)], {"lips": mask})
    assert (less == 1.0).all() and more.max() < 0.6
