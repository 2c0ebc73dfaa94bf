"""Height maps, normal maps, pores, roughness, and the relief's light and dark in pictures."""

from dataclasses import replace

import numpy as np
import pytest

from backend.detail import skin_detail
from backend.detail.find import pores
from backend.detail.window import detail_window
from backend.geometry.template import load_template
from backend.rendering.spherical_harmonics import light_from_directions
from backend.rig.measure import face_loops
from backend.texture.surface import head_surface, texture_space
from protocol.names import ARKIT_INDEX

FLAT = skin_detail.height_map(np.zeros((64, 64)), 4.0)


def test_heights_come_back_within_a_step() -> None:
    heights = np.linspace(-2, 2, 64).reshape(8, 8)
    stored = skin_detail.height_map(heights, 4.0)
    assert stored.steps.dtype == np.uint16
    np.testing.assert_allclose(stored.millimetres(), heights, atol=4.0 / 32768)
    assert skin_detail.height_map(np.full((2, 2), 99.0), 4.0).millimetres().max() < 4.0


def test_normals_of_a_slope() -> None:
    column = np.arange(16.0)[None] * np.ones((16, 1))
    rising = skin_detail.tangent_normals(column, texels_per_metre=1000.0)  # a millimetre a millimetre: 45 degrees
    normal = rising[8, 8] / 127.5 - 1.0
    np.testing.assert_allclose(normal, [-np.sqrt(0.5), 0, np.sqrt(0.5)], atol=0.01)  # it leans to the left
    falling_down = skin_detail.tangent_normals(column.T, 1000.0)[8, 8] / 127.5 - 1.0
    np.testing.assert_allclose(falling_down, [0, np.sqrt(0.5), np.sqrt(0.5)], atol=0.01)  # up in the map is y


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


@pytest.fixture(scope="module")
def rough() -> np.ndarray:
    return skin_detail.skin_roughness(load_template())


def inside(name: str) -> np.ndarray:
    template = load_template()
    return template.regions[name][: template.head.vertex_stop] > 0.95


@pytest.mark.parametrize("name", skin_detail.REGION_ROUGHNESS)
def test_a_region_has_its_own_roughness(rough: np.ndarray, name: str) -> None:
    assert inside(name).sum() > 30
    assert np.median(rough[inside(name)]) == pytest.approx(skin_detail.REGION_ROUGHNESS[name], abs=0.02)


def test_lids_are_moist_on_their_edges_alone(rough: np.ndarray) -> None:
    for eye in face_loops(load_template()).eyes:
        lids = np.concatenate([eye.upper[3:-3], eye.lower[3:-3]])
        np.testing.assert_allclose(rough[eye.rows[eye.margin, lids]], skin_detail.LID_MARGIN, atol=1e-6)
        assert (np.diff(rough[eye.rows[eye.margin : eye.margin + 4]].mean(axis=1)) > 0.02).all()
        assert rough[eye.rows[eye.margin + 3]].min() > 0.4


def relief(**wrinkles: np.ndarray) -> skin_detail.SkinDetail:
    return skin_detail.SkinDetail(
        FLAT,
        dict.fromkeys(skin_detail.KEY_GROUPS, FLAT) | {k: skin_detail.height_map(v, 4.0) for k, v in wrinkles.items()},
    )


def test_flat_skin_is_as_it_was_and_a_step_is_bright_towards_the_lamp() -> None:
    template = load_template()
    head = template.vertices[: template.head.vertex_stop]
    light = light_from_directions(np.array([[0.0, 0.8, 0.6]]), np.array([[1.0, 1.0, 1.0]]), 0.3)
    assert np.abs(skin_detail.relief_shading(relief(), template, head, light, 256) - 1.0).max() < 1e-3
    row = np.mgrid[:256, :256][0]
    ridge = np.exp(-(((row - 75) / 3.0) ** 2))  # across the forehead, 1 mm high
    detail = replace(relief(), always=skin_detail.height_map(ridge, 4.0))
    lit = skin_detail.relief_shading(detail, template, head, light, 256)
    middle = lit[:, 118:138].mean(1)
    assert middle[70:75].mean() > 1.03 and middle[77:82].mean() < 0.97  # the upper side faces the lamp
    assert np.abs(lit[:30] - 1).max() < 1e-6


def test_keys_of_one_side_bring_out_that_side() -> None:
    window = detail_window(load_template(), skin_detail.SIZE)
    detail = relief(brows_down=np.ones((64, 64)))
    weights = np.zeros(52)
    weights[ARKIT_INDEX["browDownLeft"]] = 0.5
    heights = skin_detail.posed_heights(detail, window, weights)
    np.testing.assert_allclose(heights[:, 3 * skin_detail.SIZE // 4], 0.5, atol=0.01)
    np.testing.assert_allclose(heights[:, skin_detail.SIZE // 4], 0.0, atol=0.01)
    assert not skin_detail.posed_heights(detail, window, None).any()
