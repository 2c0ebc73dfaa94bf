"""The inside of the mouth."""

from __future__ import annotations

import numpy as np

from backend.geometry.template import load_template
from backend.rendering.color import linear_from_srgb
from backend.texture.finishing import _mouth_at
from backend.texture.surface import texture_space


def _colours(part: str) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) positions on the template and linear colours of a part's texels."""
    template = load_template()
    atlas = texture_space(template, 1024).parts[part]
    return atlas.sample(template.vertices), linear_from_srgb(_mouth_at(atlas))


def test_back_teeth_lie_in_the_shade() -> None:
    for part in ("teeth_upper", "teeth_lower"):
        points, colours = _colours(part)
        light, depth = colours.mean(1), points[:, 2].max() - points[:, 2]
        assert np.median(light[depth > 0.025]) < 0.6 * np.median(light[depth < 0.006])


def test_crowns_are_enamel_and_red_gum_stands_above_them() -> None:
    points, colours = _colours("teeth_upper")
    front = points[:, 2] > points[:, 2].max() - 0.006
    height = points[:, 1] - points[front, 1].min()
    red = colours[:, 0] / colours[:, 1]
    assert np.median(red[front & (height < 0.006)]) < 1.3 < 1.8 < np.median(red[front & (height > 0.013)])
