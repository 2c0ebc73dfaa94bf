"""A mouth gets darker backwards: flesh at the teeth, a throat behind the palate."""

from __future__ import annotations

import numpy as np
from texture_scene import Shot, make_scene, soft_light

from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space


def test_every_loop_is_darker_than_the_one_before_it() -> None:
    scene = make_scene([Shot(0.0, soft_light(0.2))])
    surface, size = head_surface(scene.template), 512
    linear = linear_from_srgb(build_albedo(scene.template, scene.fitted, scene.faces, size).albedo).astype(float)
    atlas = texture_space(scene.template, size).inner
    mean, weight = atlas.splat(atlas.gather(linear), np.ones(len(atlas.texel)), surface.lift.shape[0])
    light = [mean[loop][weight[loop] > 0].mean() for loop in scene.template.sculpture.lining_vertices[:6]]  # to the gum
    assert light[0] < 0.4 * light[4]
    assert (np.diff(light) > 0.0).all()
