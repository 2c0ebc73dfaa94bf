"""Hair's colour has a hue that hair grows with, however wrong the light's hue is; dye stays visible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.hair.strand_colours import colour_of_views, natural


@pytest.mark.parametrize(
    "albedo",
    [(0.35, 0.32, 0.29), (0.30, 0.15, 0.06), (0.10, 0.03, 0.02), (0.05, 0.028, 0.018), (0.02, 0.015, 0.009)],
    ids=["white", "blond", "red", "brown", "black"],
)
def test_natural_hair_keeps_its_colour(albedo: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(np.exp(natural(np.log(albedo))), albedo, rtol=1e-9)


def test_white_hair_in_a_light_taken_for_too_red_is_not_green() -> None:
    red, green, blue = np.exp(natural(np.log([0.26, 0.33, 0.28])))
    assert red >= green >= blue
    assert green == pytest.approx(0.33), "as bright as before"


def test_green_dye_is_seen() -> None:
    red, green, blue = np.exp(natural(np.log([0.03, 0.3, 0.05])))
    assert green > 5 * red and green > 3 * blue


def test_white_hair_that_one_photo_shows_violet_is_white() -> None:
    white, violet = [0.5, 0.48, 0.45], [0.42, 0.36, 0.6]
    red, green, blue = np.exp(colour_of_views(np.log([white, violet, violet, white])))
    assert red >= green > 0.95 * blue
    assert green == pytest.approx(np.sqrt(0.48 * 0.36)), "as bright as half of them say"


def test_violet_hair_in_all_photos_is_violet() -> None:
    violet = np.array([0.20, 0.10, 0.35])
    np.testing.assert_allclose(np.exp(colour_of_views(np.log([violet, violet, violet]))), violet)


@given(st.lists(st.floats(-6, 0), min_size=3, max_size=3))
def test_what_is_natural_already_does_not_move_again(logs: list[float]) -> None:
    once = natural(np.array(logs))
    moved = np.linalg.norm(once - logs)
    assert once[1] == logs[1] and moved <= 0.4 + 1e-9
    if moved < 0.39:
        np.testing.assert_allclose(natural(once), once, atol=1e-9)
