"""Features come from photos in which they rest."""

from __future__ import annotations

import numpy as np

from backend.rig.arkit import ARKIT_INDEX
from backend.texture.blending import PhotoScore, rest_weights, without_slivers

SLIVER_SIZE, SLIVER_DENSITY = 96, 2700.0  # texels per metre: 8 texels are 3 mm


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


def test_a_strip_between_two_holes_goes_and_a_broad_one_stays() -> None:
    cover = np.ones((SLIVER_SIZE, SLIVER_SIZE), np.float32)
    cover[20:40, 20:30] = cover[20:40, 34:44] = 0.0  # 4 texels between them
    cover[60:80, 20:30] = cover[60:80, 44:54] = 0.0  # 14 texels between them
    found = without_slivers(cover, SLIVER_DENSITY)
    assert found[24:36, 30:34].max() < 0.4
    assert found[64:76, 34:40].min() > 0.95
    assert found[48:52].min() > 0.95 and found[:, 60:].min() > 0.95
    assert np.all(found <= cover)


def test_what_is_shown_everywhere_or_nowhere_stays_so() -> None:
    assert without_slivers(np.ones((SLIVER_SIZE, SLIVER_SIZE), np.float32), SLIVER_DENSITY).min() > 0.999
    assert without_slivers(np.zeros((SLIVER_SIZE, SLIVER_SIZE), np.float32), SLIVER_DENSITY).max() == 0.0
