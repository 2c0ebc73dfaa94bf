"""The prior over skin tone."""

from __future__ import annotations

import numpy as np
import pytest

from backend.texture.delighting.skin_tone import plausible_tone, skin_log_albedo


@pytest.mark.parametrize("melanin", [0.1, 0.45, 0.9])
def test_a_natural_tone_is_kept(melanin: float) -> None:
    natural = np.exp(skin_log_albedo(melanin))
    np.testing.assert_allclose(np.log(plausible_tone(natural)), np.log(natural), atol=0.04)


@pytest.mark.parametrize("cast", [(0.7, 1.0, 1.4), (1.0, 1.5, 0.9), (1.3, 0.9, 1.5)])
def test_coloured_light_is_drawn_to_skin(cast: tuple[float, float, float]) -> None:
    natural = np.exp(skin_log_albedo(0.35))
    seen = natural * np.array(cast)
    found = plausible_tone(seen, chroma_deviation=0.3)

    def hue(colour: np.ndarray) -> np.ndarray:
        return np.log(colour) - np.log(colour).mean()

    assert np.abs(hue(found) - hue(natural)).max() < 0.6 * np.abs(hue(seen) - hue(natural)).max()


def test_grey_gets_the_chroma_of_skin() -> None:
    found = plausible_tone(np.array([0.25, 0.25, 0.25]), chroma_deviation=np.inf)
    assert found[0] > 1.3 * found[1] > 1.3 * 1.1 * found[2]
    assert abs(np.log(found).mean() - np.log(0.25)) < 0.2


def test_darker_skin_is_darker_and_haemoglobin_reddens() -> None:
    levels = np.exp(skin_log_albedo(np.linspace(0, 1, 9)))
    assert (np.diff(levels, axis=0) < 0).all()
    plain, red = np.exp(skin_log_albedo(0.3)), np.exp(skin_log_albedo(0.3, 1.0))
    assert red[0] / red[1] > 1.2 * plain[0] / plain[1]
