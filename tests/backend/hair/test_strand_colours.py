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
from made_hair import SIDE, camera, grown

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import load_template
from backend.hair.colours import colour_of_views, greyed, natural, strand_colours
from backend.models.hair_kind import FIELDS, HairKind
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE, srgb_from_linear
from backend.rendering.spherical_harmonics import light_from_directions

SIZE = 3 * SIDE
ROW, COLUMN = np.indices((SIZE, SIZE))
SKIN = 0.4
"""Albedo."""


@pytest.mark.parametrize(
    "albedo",
    [(0.35, 0.32, 0.29), (0.30, 0.15, 0.06), (0.10, 0.045, 0.02), (0.05, 0.028, 0.018), (0.02, 0.015, 0.009)],
    ids=["white", "blond", "red", "brown", "black"],
)
def test_natural_hair_keeps_its_colour(albedo: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(np.exp(natural(np.log(albedo))), albedo, rtol=1e-9)


def test_white_hair_in_a_light_taken_for_too_red_is_not_green() -> None:
    red, green, blue = np.exp(natural(np.log([0.26, 0.33, 0.28])))
    assert red >= green >= blue and green == pytest.approx(0.33), "as bright as before"


@pytest.mark.parametrize("albedo", [(0.12, 0.08, 0.085), (0.05, 0.02, 0.02)], ids=["mauve", "wine"])
def test_natural_hair_is_neither_mauve_nor_wine(albedo: tuple[float, float, float]) -> None:
    red, green, blue = np.exp(natural(np.log(albedo)))
    assert red < albedo[0] and blue < 0.97 * green


def test_white_hair_that_one_photo_shows_violet_is_white() -> None:
    white, violet = [0.5, 0.48, 0.45], [0.42, 0.36, 0.6]
    red, green, blue = np.exp(colour_of_views(np.log([white, violet, violet, white])))
    assert red >= green > 0.95 * blue
    assert green == pytest.approx(np.sqrt(0.48 * 0.36)), "as bright as the median photo"


def test_hair_that_is_read_as_grey_has_white_hairs_hue_unless_the_photos_show_ginger() -> None:
    sand, red, half = (0.3, 0.24, 0.17), (0.128, 0.071, 0.024), (0.3, 0.2, 0.4, 0.1)
    for hair, odds, hue in (sand, (1, 0, 0, 0), 1.76), (sand, (0, 0, 0, 1), 1.13), (sand, half, 1.4), (red, half, 5.3):
        grey = np.exp(greyed(np.log(hair), np.array(odds)))
        np.testing.assert_allclose([grey @ LUMINANCE, grey[0] / grey[2]], [hair @ np.array(LUMINANCE), hue], 0.05)


def test_photos_of_other_looks_say_half_of_the_brightness() -> None:
    """One dark photo of two made a blonde's hair black, though the other looks' photos showed it light."""
    blonde, dark = [0.30, 0.22, 0.12], [0.020, 0.016, 0.012]
    of_look = np.log([blonde, dark])
    assert np.exp(colour_of_views(of_look, np.log([0.2, 0.25, 0.22])))[1] == pytest.approx(0.2, rel=0.11)
    assert np.exp(colour_of_views(of_look))[1] < 0.07
    bleached = colour_of_views(np.log([blonde, blonde]), np.log([0.02, 0.02, 0.02]))
    assert 0.02 < np.exp(bleached)[1] <= 0.22 and np.ptp(bleached - np.log(blonde)) < 1e-9, "with the look's hue"


def test_dye_that_all_photos_show_is_seen() -> None:
    red, green, blue = np.exp(natural(np.log([0.03, 0.3, 0.05])))
    assert green > 5 * red and green > 3 * blue
    np.testing.assert_allclose(colour_of_views(np.log([[0.20, 0.10, 0.35]] * 3)), np.log([0.20, 0.10, 0.35]))


@given(st.lists(st.floats(-6, 0), min_size=3, max_size=3))
def test_what_is_natural_already_does_not_move_again(logs: list[float]) -> None:
    once = natural(np.array(logs))
    moved = np.linalg.norm(once - logs)
    assert once[1] == logs[1] and moved <= 0.4 + 1e-9
    if moved < 0.39:
        np.testing.assert_allclose(natural(once), once, atol=1e-9)


def coloured(pixels: np.ndarray, labels: np.ndarray, kind: HairKind | None = None) -> tuple[np.ndarray, list]:
    """Guides of a crew cut, and their colours by a photo from the front that is taken to be lit evenly by 1."""
    template = load_template()
    light = light_from_directions(np.array([[0.0, 0.0, 1.0]]), np.zeros((1, 3)), 1.0)
    photo = FittedPhoto("1.jpg", camera(0.0).scaled(3), np.zeros(52), template.vertices, light, 1.0, 0.1)
    skin = np.full((template.head.vertex_stop, 3), SKIN, np.float32)
    fitted = FittedFace(np.zeros(1), template.vertices, skin, (photo,))
    face = plain_photo((SIZE, SIZE), name="1.jpg", pixels=pixels, labels=labels)
    guides = grown(template, "crew", 400)[:, ::3]
    return guides, strand_colours(guides, fitted, [face], kind=kind)


def test_locks_differ_in_brightness_and_not_in_hue() -> None:
    """A lamp on one side made half of a grey head's locks orange and half of them blue."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, : SIZE // 2], pixels[:, SIZE // 2 :] = (120, 100, 80), (160, 160, 165)
    guides, ends = coloured(pixels, np.full((SIZE, SIZE), FaceClass.HAIR, np.uint8))
    hue, logs = np.log(ends) - np.log(ends)[..., 1:2], np.log(ends[0])  # (2, G, 3) of roots and tips, (G, 3)
    np.testing.assert_allclose(hue, np.broadcast_to(hue[0, 0], hue.shape), atol=1e-4)
    front = guides[:, 0, 2] > 0.06
    right, left = (logs[front & side, 1].mean() for side in (guides[:, 0, 0] < -0.02, guides[:, 0, 0] > 0.02))
    assert abs(left - right) > 0.2, "one side is lighter than the other, as in the photo"


def above_skin(hair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of hair, linear (H, W), down to row 105, and skin below."""
    labels = np.where(ROW < 105, FaceClass.HAIR, FaceClass.SKIN).astype(np.uint8)
    pixels = np.round(255 * srgb_from_linear(np.where(ROW < 105, hair, SKIN))).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, 2), labels


def test_white_hair_is_as_white_as_its_lit_part() -> None:
    """Beside the skin white hair is thin and in shade, and that counted half."""
    _, (roots, _) = coloured(*above_skin(np.where(ROW >= 99, 0.2, 0.5)))
    assert np.median(roots) == pytest.approx(0.5, rel=0.12)


def test_thin_hair_has_the_colour_of_what_hides_the_skin() -> None:
    """Black hair through which a scalp shone was copper."""
    for value, expected in (("full", 0.2), ("receding", 0.05)):
        kind = HairKind({name: np.isin(FIELDS[name], (value, "short")) * 1.0 for name in ("density", "length")})
        _, (roots, _) = coloured(*above_skin(np.where(COLUMN % 10 < 4, 0.05, 0.2)), kind)
        assert np.median(roots) == pytest.approx(expected, rel=0.3)
