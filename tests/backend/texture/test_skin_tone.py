"""The prior over skin tone."""

from __future__ import annotations

import numpy as np
import pytest

from backend.texture.delighting import estimate_tone, plausible_tone, skin_log_albedo
from backend.texture.unwrap import PhotoSamples


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


def _photo(colour: np.ndarray) -> PhotoSamples:
    """A photo that shows 50 vertices in one linear colour (3,)."""
    return PhotoSamples(np.tile(colour, (50, 1)), np.ones(50), np.zeros((50, 9)), np.zeros((9, 3)), 1.0, False)


def _colour(red_green: float, green_blue: float, level: float) -> np.ndarray:
    """Linear colour (3,) with these log ratios and this mean log."""
    logs = np.array([red_green, 0.0, -green_blue])
    return np.exp(logs - logs.mean() + level)


def test_skin_that_all_photos_show_keeps_its_hue() -> None:
    """Median skin of 54 people beside white cloth in press photos: red over green 0.70, green over blue 0.50."""
    fit = np.tile(_colour(0.64, 0.45, -1.4), (50, 1))  # as the fit draws these photos to its mean skin
    tone = estimate_tone([_photo(_colour(0.70, 0.50, -1.45))] * 3, fit, np.ones(50))
    assert abs(np.log(tone[0] / tone[1]) - 0.70) < 0.04
    assert abs(np.log(tone[1] / tone[2]) - 0.50) < 0.04


def test_a_photo_in_strongly_tinted_light_hardly_tints_the_skin() -> None:
    white, fit = _photo(_colour(0.66, 0.48, -1.4)), np.tile(_colour(0.62, 0.45, -1.4), (50, 1))
    tinted = _photo(_colour(1.2, 1.0, -1.4))
    alone, beside, all_tinted = (
        np.log(estimate_tone(photos, fit, np.ones(50)))
        for photos in ([white] * 3, [white, white, tinted], [tinted] * 3)
    )
    assert (np.abs(beside - alone) < 0.2 * np.abs(all_tinted - alone)).all(), "a third of the photos, half of its share"


def test_the_tone_follows_one_photo_without_a_jump() -> None:
    """Five photos from neutral to warm; one of them turns from cool to very warm."""
    others = [
        _photo(_colour(red, blue, -1.8)) for red, blue in ((0.90, 0.47), (1.02, 0.47), (0.85, 0.39), (0.82, 0.37))
    ]
    fit = np.tile(_colour(0.80, 0.46, -1.5), (50, 1))
    casts = np.linspace(-0.3, 0.8, 56)
    tones = [
        np.log(estimate_tone([*others, _photo(_colour(0.7 + cast, 0.5 + cast, -1.9))], fit, np.ones(50)))
        for cast in casts
    ]
    assert np.abs(np.diff(tones, axis=0)).max() < 0.5 * (casts[1] - casts[0])
