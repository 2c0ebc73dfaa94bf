"""All photos take part in eyes and lips: no small difference between two photos turns a feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from texture_scene import Shot, make_scene, with_labels

from backend.photos.collection import FaceClass, PhotoQuality
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 256


def test_a_hair_of_sharpness_does_not_turn_the_lips() -> None:
    scene = make_scene([Shot(6.0), Shot(-6.0)])
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    lips = space.skin.image(space.skin.sample(surface.regions["lips"][:, None])[:, 0]) > 0.7
    pale, painted = scene.faces
    lines = (np.arange(pale.pixels.shape[1]) // 4 % 2)[None] * (painted.labels == FaceClass.LIPS)
    marked = (painted.pixels * (1.0 - 0.2 * lines)[..., None]).astype(np.uint8)
    painted = with_labels(painted, painted.labels, marked)

    def brightness(first: float, second: float) -> np.ndarray:
        qualities = (PhotoQuality(score, 1.0, 1.0, 1.0, 1.0, 1.0) for score in (first, second))
        faces = [replace(face, quality=one) for face, one in zip((pale, painted), qualities, strict=True)]
        albedo = linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo)
        return np.log(np.maximum(albedo.mean(2), 1e-3))[lips]

    turned = brightness(0.82, 0.80) - brightness(0.80, 0.82)
    assert np.percentile(np.abs(turned), 95) < 0.15, "log units; 0.34 where one photo paints the lips"
