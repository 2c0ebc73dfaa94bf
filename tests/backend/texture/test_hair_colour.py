"""What colour hair gets where the photos' own says nothing."""

from __future__ import annotations

import numpy as np

from backend.texture.hair import PhotoHair, hair_colour


def test_hair_in_a_green_lamp_is_neither_green_nor_white() -> None:
    """The one photo of a man without his cap shows brown hair in green light: it was white."""
    lit = PhotoHair(0.49, np.log([0.078, 0.458, 0.474]))
    under_caps = [PhotoHair(0.02, None, hidden=True)] * 5
    colour = np.exp(hair_colour([lit, *under_caps], [1.0] * 6))
    assert colour[0] > colour[1] > colour[2] and colour.mean() < 0.05


def test_a_photo_in_plain_light_beside_it_decides() -> None:
    lit, blond = PhotoHair(0.5, np.log([0.078, 0.458, 0.474])), PhotoHair(0.4, np.log([0.40, 0.29, 0.16]))
    colour = np.exp(hair_colour([lit, blond], [1.0, 0.5]))
    np.testing.assert_allclose(colour, [0.40, 0.29, 0.16], rtol=0.1)


def test_black_hair_whose_tint_is_noise_stays_black() -> None:
    black = PhotoHair(0.5, np.log([0.004, 0.007, 0.002]))
    assert np.exp(hair_colour([black], [1.0])).mean() < 0.015
