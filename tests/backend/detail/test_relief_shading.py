"""Light and dark of the relief in pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backend.detail.skin_detail import KEY_GROUPS, SIZE, SkinDetail, height_map, posed_heights, relief_shading
from backend.detail.window import detail_window
from backend.geometry.template import load_template
from backend.rendering.spherical_harmonics import light_from_directions
from protocol.names import ARKIT_INDEX

FLAT = height_map(np.zeros((64, 64)), 4.0)


def relief(**wrinkles: np.ndarray) -> SkinDetail:
    return SkinDetail(FLAT, dict.fromkeys(KEY_GROUPS, FLAT) | {k: height_map(v, 4.0) for k, v in wrinkles.items()})


def test_flat_skin_is_as_it_was_and_a_step_is_bright_towards_the_lamp() -> None:
    template = load_template()
    head = template.vertices[: template.head.vertex_stop]
    light = light_from_directions(np.array([[0.0, 0.8, 0.6]]), np.array([[1.0, 1.0, 1.0]]), 0.3)
    assert np.abs(relief_shading(relief(), template, head, light, 256) - 1.0).max() < 1e-3
    row = np.mgrid[:256, :256][0]
    ridge = np.exp(-(((row - 75) / 3.0) ** 2))  # across the forehead, 1 mm high
    detail = replace(relief(), always=height_map(ridge, 4.0))
    lit = relief_shading(detail, template, head, light, 256)
    middle = lit[:, 118:138].mean(1)
    assert middle[70:75].mean() > 1.03 and middle[77:82].mean() < 0.97  # the upper side faces the lamp
    assert np.abs(lit[:30] - 1).max() < 1e-6


def test_keys_of_one_side_bring_out_that_side() -> None:
    window = detail_window(load_template(), SIZE)
    detail = relief(brows_down=np.ones((64, 64)))
    weights = np.zeros(52)
    weights[ARKIT_INDEX["browDownLeft"]] = 0.5
    heights = posed_heights(detail, window, weights)
    np.testing.assert_allclose(heights[:, 3 * SIZE // 4], 0.5, atol=0.01)
    np.testing.assert_allclose(heights[:, SIZE // 4], 0.0, atol=0.01)
    assert not posed_heights(detail, window, None).any()
