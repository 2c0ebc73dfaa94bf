"""What colour hair has by the photos, and whether what they call hair is some."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE, srgb_bytes
from backend.texture.hair import hair_colour, natural_hair
from backend.texture.photo_hair import PhotoHair, ScalpLook, photo_hair
from backend.texture.surface import head_surface
from backend.texture.surface_field import surface_operators
from backend.texture.unseen import _hair

SKIN = np.log([0.40, 0.25, 0.18])


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


def test_shine_and_background_beside_a_bald_head_are_no_hair() -> None:
    found = [(0.07, 0.07, 0.06), (0.88, 0.60, 0.48), (0.54, 0.58, 1.0), (0.41, 0.28, 0.20), (0.44, 0.27, 0.19)]
    hairs = [PhotoHair(0.1, np.log(color)) for color in found]
    assert hair_colour(hairs, [1.0] * 5, SKIN) is None
    assert hair_colour(hairs, [1.0] * 5) is not None  # with hair on top they are taken for what they are called


def test_a_ring_of_white_hair_is_hair() -> None:
    hairs = [PhotoHair(0.16, np.log([0.64, 0.64, 0.72])), PhotoHair(0.06, np.log([0.58, 0.52, 0.43]))]
    colour = hair_colour(hairs, [1.0, 1.0], SKIN)
    assert colour is not None and colour.mean() > np.log(0.4)


def test_pale_hair_is_hair_where_the_photos_agree_on_its_place() -> None:
    hairs = [PhotoHair(0.2, np.log(color)) for color in ((0.5, 0.4, 0.3), (0.45, 0.35, 0.25), (0.4, 0.3, 0.22))]
    assert hair_colour(hairs, [1.0] * 3, SKIN) is None
    colour = hair_colour(hairs, [1.0] * 3, SKIN, least_share=0.0)
    assert colour is not None and abs(colour.mean() - np.log([0.45, 0.35, 0.25]).mean()) < 0.1


def test_little_hair_is_none() -> None:
    assert hair_colour([PhotoHair(0.01, np.log([0.03, 0.02, 0.01]))] * 3, [1.0] * 3) is None


def test_a_headband_that_is_called_hair_gives_no_colour() -> None:
    pink, black = np.log([0.60, 0.30, 0.33]), np.log([0.03, 0.02, 0.014])
    colour = hair_colour([PhotoHair(0.3, pink)] * 3 + [PhotoHair(0.3, black)], [1.0] * 4)
    np.testing.assert_allclose(colour, black, atol=0.05)
    assert hair_colour([PhotoHair(0.3, pink)], [1.0]) is not None  # dyed hair: nothing else is known


def test_a_white_turban_does_not_whiten_the_hair_below_it() -> None:
    """Of a turban's side that is called hair: brighter than the forehead, over black brows."""
    cloth = PhotoHair(0.10, np.log([0.53, 0.63, 0.65]), hidden=True, scalp=ScalpLook(0.74, 0.11, brows=2.2))
    below = PhotoHair(0.07, np.log([0.059, 0.052, 0.052]), hidden=True, scalp=ScalpLook(-1.8, 0.09, brows=2.6))
    hairs = [cloth, PhotoHair(0.02, None, hidden=True), below]
    found = hair_colour(hairs, [0.73, 0.72, 0.70], SKIN)
    assert found is not None and np.exp(found).max() < 0.08
    white = replace(cloth, scalp=ScalpLook(0.74, 0.11, brows=0.9))  # white brows: white hair below a cap
    found = hair_colour([white, white], [0.7, 0.7])
    assert found is not None and np.exp(found).min() > 0.4


def test_hair_beside_a_blue_band_is_not_grey() -> None:
    """The only colour known of a tennis player's hair was her band's, dark blue, and the nearest hair to it grey."""
    blue = PhotoHair(0.02, np.log([0.052, 0.058, 0.069]), hidden=True)
    found = np.exp(hair_colour([PhotoHair(0.0, None, hidden=True), blue], [0.7, 0.7], None))
    assert found[0] > 1.3 * found[2] and found.max() < 0.05
    brown = PhotoHair(0.3, np.log([0.20, 0.12, 0.07]))
    np.testing.assert_allclose(hair_colour([blue, brown], [0.7, 0.3]), brown.log_color, atol=0.05)


def test_a_blue_cap_in_one_photo_gives_a_bald_man_no_hair() -> None:
    cap = PhotoHair(0.1, np.log([0.052, 0.058, 0.069]), hidden=True)
    assert hair_colour([PhotoHair(0.06, None)] * 3 + [cap], [0.7] * 4, SKIN) is None


def _brightness(log_color: np.ndarray) -> float:
    return float(np.log(np.exp(log_color) @ np.array(LUMINANCE)))


def test_hair_is_as_bright_as_photos_show_it() -> None:
    """Strands that shine and gaps between strands, half of the pixels each, say nothing; of 58 people hair had been
    brighter than in their photos by half a log unit, and black hair grey."""
    labels = np.full((120, 120), FaceClass.SKIN, np.uint8)
    labels[:50] = FaceClass.HAIR
    strands = np.exp(np.log(0.05) + 0.6 * np.random.default_rng(3).standard_normal((120, 120, 1)))
    linear = np.where((labels == FaceClass.HAIR)[..., None], strands * np.array([1.2, 1.0, 0.8]), 0.3)
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[105, :2], landmarks[334, :2] = (45, 60), (75, 60)
    face = SimpleNamespace(labels=labels, pixels=srgb_bytes(linear), landmarks=landmarks, monochrome=False)
    light = np.zeros((9, 3))
    light[0] = 1 / 0.2820948
    found = photo_hair(face, light).log_color
    assert abs(_brightness(found) - _brightness(np.log([0.06, 0.05, 0.04]))) < 0.1


def test_of_two_photos_neither_decides_alone_how_bright_hair_is() -> None:
    """One photo in the sun, one in the shade: the brighter one decided, and black hair was grey."""
    sunny, shaded = PhotoHair(0.3, np.log([0.075, 0.064, 0.040])), PhotoHair(0.4, np.log([0.011, 0.009, 0.008]))
    for hairs in ([sunny, shaded], [shaded, sunny]):
        found = hair_colour(hairs, [0.70, 0.69]).mean()
        assert abs(found - 0.5 * (sunny.log_color.mean() + shaded.log_color.mean())) < 0.1


def test_hair_in_a_yellow_lamp_is_as_bright_as_it_looks() -> None:
    """A lamp, or a small picture's colours, without blue: golden brown hair was dark brown in four photos of four."""
    golden = np.log([0.088, 0.045, 0.009])
    found = hair_colour([PhotoHair(0.6, golden)] * 4, [1.0] * 4)
    assert abs(_brightness(found) - _brightness(golden)) < 0.05 and found[2] > golden[2] + 0.3


def test_red_hair_does_not_darken_on_its_way_to_a_natural_colour() -> None:
    red = np.log([0.077, 0.021, 0.007])
    assert abs(_brightness(natural_hair(red)) - _brightness(red)) < 0.01


def test_the_scalp_is_as_dark_as_the_hair_not_as_its_thin_border() -> None:
    """Near its line hair is thin, and skin shines through what photos show there."""
    template = load_template()
    surface = head_surface(template)
    cage = template.vertices[: surface.count].astype(np.float64)
    operators = surface_operators(cage, surface.cage_triangles)
    black, thin, sparse = np.log([0.020, 0.016, 0.013]), np.log([0.060, 0.045, 0.035]), np.log([0.010, 0.008, 0.007])
    high = cage[:, 1] > np.quantile(cage[:, 1], 0.9)
    seen = (high & (cage[:, 2] > np.quantile(cage[high, 2], 0.7))).astype(np.float64)
    far = high & (cage[:, 2] < np.quantile(cage[high, 2], 0.3))

    def made(own: np.ndarray) -> float:
        field = _hair(operators, np.broadcast_to(own, cage.shape).copy(), seen, black)
        return float(field[far].mean() - black.mean())

    assert made(thin) < 0.2
    assert made(sparse) < -0.15, "what is darker than the photos' hair as a whole still counts: that may shine"


def test_thin_white_hair_is_not_of_the_colour_of_the_skin_below_it() -> None:
    """Four of seven photos show a white-haired man's scalp through his hair: it was pink. Blond hair stays blond."""
    white, pink = np.log([0.50, 0.47, 0.43]), np.log([0.47, 0.32, 0.21])
    found = hair_colour([PhotoHair(0.2, pink)] * 4 + [PhotoHair(0.2, white)] * 3, [0.7] * 7)
    assert found[0] - found[2] < 0.3 and found.mean() > np.log(0.42)
    blond = hair_colour([PhotoHair(0.4, pink)] * 6 + [PhotoHair(0.4, white)], [0.7] * 7)
    assert blond[0] - blond[2] > 0.6
    brown, black = np.log([0.10, 0.06, 0.035]), np.log([0.012, 0.011, 0.010])
    dark = hair_colour([PhotoHair(0.4, brown)] * 4 + [PhotoHair(0.4, black)] * 3, [0.7] * 7)
    assert dark.mean() > np.log(0.05), "of dark hair photos in the shade show no colour either"
