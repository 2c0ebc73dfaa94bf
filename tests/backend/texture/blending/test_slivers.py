"""Rims between places that no photo shows are no part of the texture."""

import numpy as np

from backend.texture.blending.residual_artefacts import without_slivers

SIZE, DENSITY = 96, 2700.0  # texels per metre: 6 texels are 2.2 mm


def test_a_strip_between_two_holes_goes_and_a_broad_one_stays() -> None:
    cover = np.ones((SIZE, SIZE), np.float32)
    cover[20:40, 20:30] = cover[20:40, 34:44] = 0.0  # 4 texels between them
    cover[60:80, 20:30] = cover[60:80, 44:54] = 0.0  # 14 texels between them
    found = without_slivers(cover, DENSITY)
    assert found[24:36, 30:34].max() < 0.4
    assert found[64:76, 34:40].min() > 0.95
    assert found[48:52].min() > 0.95 and found[:, 60:].min() > 0.95
    assert np.all(found <= cover)


def test_what_is_shown_everywhere_or_nowhere_stays_so() -> None:
    assert without_slivers(np.ones((SIZE, SIZE), np.float32), DENSITY).min() > 0.999
    assert without_slivers(np.zeros((SIZE, SIZE), np.float32), DENSITY).max() == 0.0
