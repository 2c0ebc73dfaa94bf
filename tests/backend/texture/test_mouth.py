"""The inside of the mouth, and a throat that gets darker backwards."""

import numpy as np
from texture_scene import Shot, make_scene, soft_light

from backend.geometry.template import load_template
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.finishing import _mouth_at
from backend.texture.surface import head_surface, texture_space


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


def test_every_loop_is_darker_than_the_one_before_it() -> None:
    scene = make_scene([Shot(0.0, soft_light(0.2))])
    surface, size = head_surface(scene.template), 512
    linear = linear_from_srgb(build_albedo(scene.template, scene.fitted, scene.faces, size).albedo).astype(float)
    atlas = texture_space(scene.template, size).inner
    mean, weight = atlas.splat(atlas.gather(linear), np.ones(len(atlas.texel)), surface.lift.shape[0])
    light = [mean[loop][weight[loop] > 0].mean() for loop in scene.template.sculpture.lining_vertices[:6]]  # to the gum
    assert light[0] < 0.4 * light[4]
    assert (np.diff(light) > 0.0).all()
