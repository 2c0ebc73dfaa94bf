"""Height maps, normal maps, pores."""

from __future__ import annotations

import numpy as np
import pytest

from backend.detail.find import pores
from backend.detail.skin_detail import KEY_GROUPS, SkinDetail, height_map, tangent_normals
from backend.geometry.template import load_template
from backend.texture.surface import head_surface, texture_space


def test_heights_come_back_within_a_step() -> None:
    heights = np.linspace(-2, 2, 64).reshape(8, 8)
    stored = height_map(heights, 4.0)
    assert stored.steps.dtype == np.uint16
    np.testing.assert_allclose(stored.millimetres(), heights, atol=4.0 / 32768)
    assert height_map(np.full((2, 2), 99.0), 4.0).millimetres().max() < 4.0


def test_normals_of_a_slope() -> None:
    column = np.arange(16.0)[None] * np.ones((16, 1))
    rising = tangent_normals(column, texels_per_metre=1000.0)  # a millimetre a millimetre: 45 degrees
    normal = rising[8, 8] / 127.5 - 1.0
    np.testing.assert_allclose(normal, [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=0.01)  # it leans to the left
    falling_down = tangent_normals(column.T, 1000.0)[8, 8] / 127.5 - 1.0
    np.testing.assert_allclose(falling_down, [0, np.sqrt(0.5), np.sqrt(0.5)], atol=0.01)  # up in the map is y


def test_only_whole_sets_of_maps() -> None:
    one = height_map(np.zeros((4, 4)), 1.0)
    with pytest.raises(ValueError, match="wrinkles must be"):
        SkinDetail(one, {"smile": one})
    with pytest.raises(ValueError, match="one size"):
        SkinDetail(one, dict.fromkeys(KEY_GROUPS, one) | {"smile": height_map(np.zeros((8, 8)), 1.0)})
    with pytest.raises(ValueError, match="reach"):
        SkinDetail(height_map(np.zeros((4, 4)), 100.0), dict.fromkeys(KEY_GROUPS, one))


def test_pores_are_deeper_on_the_nose_than_on_ears_and_none_in_the_mouth() -> None:
    template = load_template()
    surface, space = head_surface(template), texture_space(template, 512)
    relief = pores(surface, space.skin, 1240.0)
    assert relief.shape == (512, 512) and abs(relief.mean()) < 1e-3

    def deviation(region: str) -> float:
        mask = space.skin.image(space.skin.sample(surface.regions[region][:, None]))[..., 0] > 0.9
        return float(relief[mask].std())

    assert deviation("nose") > 1.5 * deviation("neck") > 1.5 * deviation("ears") > 0
    assert deviation("lips") < 0.3 * deviation("nose")
    assert deviation("nose") < 0.05  # millimetres
