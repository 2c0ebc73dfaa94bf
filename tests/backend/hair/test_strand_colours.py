"""Hair's colour has a hue that hair grows with, however wrong the light's hue is; dye stays visible."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_photo import plain_photo

sys.path.append(str(Path(__file__).parent))
from made_hair import SIDE, camera, style_point

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.hair.fit_style import PIECES, SEGMENTS, grown
from backend.hair.strand_colours import colour_of_views, natural, strand_colours
from backend.hair.style_model import lock_noise
from backend.photos.collection import FaceClass
from backend.rendering.spherical_harmonics import light_from_directions


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


def test_locks_differ_in_brightness_and_not_in_hue() -> None:
    """A lamp on one side made half of a grey head's locks orange and half of them blue."""
    template = load_template()
    size = 3 * SIDE
    pixels = np.zeros((size, size, 3), np.uint8)
    pixels[:, : size // 2], pixels[:, size // 2 :] = (120, 100, 80), (160, 160, 165)
    labels = np.full((size, size), FaceClass.HAIR, np.uint8)
    light = light_from_directions(np.array([[0.0, 0.0, 1.0]]), np.zeros((1, 3)), 1.0)
    photo = FittedPhoto("1.jpg", camera(0.0).scaled(3), np.zeros(52), template.vertices, light, 1.0, 0.1)
    mean = np.zeros((template.head.vertex_stop, 3), np.float32)
    fitted = FittedFace(np.zeros(1), template.vertices, mean, (photo,))
    face = plain_photo((size, size), name="1.jpg", pixels=pixels, labels=labels)
    points = grown(template, template.vertices, style_point("crew")[None], lock_noise(400))[0]
    guides = points.reshape(400, SEGMENTS * PIECES, 3)
    guides = guides[np.isfinite(guides).all((1, 2))][:, ::3]
    colours = strand_colours(guides, fitted, [face])
    logs = np.log(colours.root)
    hue = logs - logs[:, 1:2]
    np.testing.assert_allclose(hue, np.broadcast_to(hue[0], hue.shape), atol=1e-4)
    front = guides[:, 0, 2] > 0.06
    right, left = (logs[front & side, 1].mean() for side in (guides[:, 0, 0] < -0.02, guides[:, 0, 0] > 0.02))
    assert abs(left - right) > 0.2, "one side is lighter than the other, as in the photo"
