import numpy as np
import pytest

from backend.texture.surface import SurfaceAtlas
from trainer.evaluate.textures import detail_likeness, difference_of, log_ratios, spread_about

SIDE, DENSITY = 128, 1000.0  # texels, per metre


def plane() -> SurfaceAtlas:
    """Every texel of a square is covered."""
    count = SIDE * SIDE
    return SurfaceAtlas(
        SIDE,
        np.arange(count),
        np.zeros((1, 3), np.int32),
        np.zeros(count, np.int32),
        np.ones((count, 3), np.float32) / 3,
    )


def waves(length: float) -> np.ndarray:
    """(P, 3) log light that goes up and down by 0.1 along the rows, over ``length`` metres."""
    rows = np.indices((SIDE, SIDE))[0].ravel()
    return np.repeat(0.1 * np.sin(2 * np.pi * rows / (length * DENSITY))[:, None], 3, axis=1)


def test_ratios_are_those_of_linear_light():
    brightness, red_green, green_blue = log_ratios(np.log([[0.4, 0.2, 0.1]]))[0]
    assert brightness == pytest.approx(np.log(0.2126 * 0.4 + 0.7152 * 0.2 + 0.0722 * 0.1), abs=1e-3)
    assert (red_green, green_blue) == pytest.approx((np.log(2), np.log(2)))


def test_a_texture_that_is_brighter_and_redder_everywhere():
    photo = np.log(np.random.default_rng(1).uniform(0.1, 0.5, (200, 3)))
    made = photo + np.log([2.0, 1.5, 1.5])
    weight = np.ones(200)
    middle, apart = difference_of(made, photo, weight)
    assert np.log(1.5) < middle[0] < np.log(2)
    assert middle[1:] == pytest.approx((np.log(2 / 1.5), 0.0), abs=1e-9)
    assert spread_about(apart, middle)["red_green"] == pytest.approx(0.0, abs=1e-9)


def test_what_the_photo_does_not_show_does_not_count():
    photo = np.zeros((4, 3))
    made = np.array([0.0, 0.0, 0.3, 9.0])[:, None] * np.ones(3)
    middle, apart = difference_of(made, photo, np.array([1.0, 1.0, 1.0, 0.0]))
    assert spread_about(apart, middle)["brightness"] == pytest.approx(0.1)
    assert difference_of(made, photo, np.array([0.0, 0.0, 1.0, 0.0]))[0][0] == pytest.approx(0.3)


def test_details_with_half_the_contrast():
    photo = waves(0.02)
    contrast, correlation = detail_likeness(0.5 * photo, photo, np.ones(len(photo)), plane(), DENSITY)
    assert (contrast, correlation) == pytest.approx((0.5, 1.0), abs=0.01)
    assert detail_likeness(-photo, photo, np.ones(len(photo)), plane(), DENSITY)[1] == pytest.approx(-1.0, abs=0.01)


def test_light_and_noise_are_no_details():
    photo, weight = waves(0.02), np.ones(SIDE * SIDE)
    noise = 0.1 * np.random.default_rng(2).normal(size=(SIDE * SIDE, 1))
    for other in (waves(0.128), noise):
        contrast, correlation = detail_likeness(photo + other, photo, weight, plane(), DENSITY)
        assert contrast == pytest.approx(1.0, abs=0.1)
        assert correlation > 0.95
