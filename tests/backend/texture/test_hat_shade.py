"""What a brim shades is no darker skin."""

from __future__ import annotations

import numpy as np
from texture_scene import Shot, make_scene, soft_light, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 512
_BROW_MIDDLES = [105, 334]


def _in_a_cap(face: PhotoFace, shade: float) -> PhotoFace:
    """A black cap over the hair and the upper forehead; what lies between it and the brows has ``shade`` of its
    light, fading out over the nose."""
    height = face.landmarks[_BROW_MIDDLES, 1].mean()
    rows = np.arange(face.labels.shape[0])
    head = face.labels != FaceClass.BACKGROUND
    cap = head & (rows < height - 80)[:, None]
    light = np.interp(rows, [height + 30, height + 120], [shade, 1.0])[:, None, None]
    linear = linear_from_srgb(face.pixels) * np.where(head[..., None], light, 1.0)
    pixels = np.where(cap[..., None], 20.0, 255.0 * srgb_from_linear(linear))
    return with_labels(face, np.where(cap, np.uint8(FaceClass.OCCLUDER), face.labels), pixels.astype(np.uint8))


def test_a_forehead_below_a_brim_is_nearly_as_bright_as_the_cheeks() -> None:
    scene = make_scene([Shot(0.0), Shot(20.0, soft_light(-0.3)), Shot(-20.0, soft_light(0.4))])
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    positions = surface.lifted(scene.fitted.neutral[: surface.count].astype(np.float64))
    where = space.skin.sample(positions)
    brows = positions[surface.regions["brows"] > 0.5, 1].max()
    forehead = (where[:, 1] > brows + 0.004) & (where[:, 1] < brows + 0.015) & (abs(where[:, 0]) < 0.02)
    cheeks = space.skin.sample(surface.regions["cheeks"][:, None])[:, 0] > 0.8

    def darker(shade: float | None) -> float:
        """Log units by which the forehead is darker than the cheeks; None: without caps."""
        faces = scene.faces if shade is None else [_in_a_cap(face, shade) for face in scene.faces]
        albedo = build_albedo(scene.template, scene.fitted, faces, SIZE).albedo
        log = space.skin.gather(np.log(np.maximum(linear_from_srgb(albedo), 1e-3)).mean(-1))
        return float(np.median(log[cheeks]) - np.median(log[forehead]))

    as_it_is = darker(1.0)
    assert darker(0.5) - as_it_is < 0.3, "0.57 where nobody knows of caps"
    assert abs(as_it_is - darker(None)) < 0.1, "a cap that throws no shade changes nothing"
