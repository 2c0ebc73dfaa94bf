"""The small charts (eye sockets, mouth, neck) begin with the colour that the face's chart ends with."""

from __future__ import annotations

import numpy as np
from texture_scene import Shot, make_scene, soft_light

from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space


def test_no_step_between_the_charts_whatever_the_size() -> None:
    scene = make_scene([Shot(0.0, soft_light(0.2)), Shot(35.0, soft_light(-0.8))])
    surface = head_surface(scene.template)
    seam = np.intersect1d(surface.triangles[surface.main], surface.triangles[~surface.main])
    places = {
        "everywhere": np.ones(len(seam), bool),
        "lids": np.maximum(surface.regions["lids_left"], surface.regions["lids_right"])[seam] > 0.3,
        "mouth": surface.regions["lips"][seam] > 0.3,
    }
    for size in (512, 1024):
        albedo = build_albedo(scene.template, scene.fitted, scene.faces, size).albedo
        linear, space = linear_from_srgb(albedo).astype(float), texture_space(scene.template, size)
        sides = []
        for atlas in (space.skin, space.inner):
            mean, weight = atlas.splat(atlas.gather(linear), np.ones(len(atlas.texel)), surface.lift.shape[0])
            sides.append(np.where(weight[seam, None] > 0, mean[seam], np.nan))
        step = np.abs(np.log(sides[1] / sides[0])).mean(1)
        for name, there in places.items():
            found = step[there & np.isfinite(step)]
            assert len(found) > 15 and found.mean() < 0.12, f"{name}, {size}: {found.mean():.3f}"
        assert np.isfinite(step).sum() > 150
