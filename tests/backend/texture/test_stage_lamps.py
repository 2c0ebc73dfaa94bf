"""Photos under lamps whose colours and hard shadows are no skin's."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from texture_scene import Scene, Shot, make_scene, soft_light

from backend.photos.collection import PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.rendering.spherical_harmonics import light_from_directions
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import colour_spread

SIZE = 512


def _region(scene: Scene, name: str) -> np.ndarray:
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    return space.skin.image(space.skin.sample(surface.regions[name][:, None])[:, 0]) > 0.9


def _stage_light(side: float) -> np.ndarray:
    """(9, 3) an orange lamp on one side, a blue one on the other."""
    directions = np.array([[side, 0.2, 0.4], [-side, 0.2, 0.4]])
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return light_from_directions(directions, np.array([[1.3, 0.7, 0.12], [0.25, 0.35, 1.1]]), np.full(3, 0.12))


def _saturated(face: PhotoFace) -> PhotoFace:
    """As a camera's vivid mode makes it; channels clip."""
    hsv = cv2.cvtColor(face.pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(1.5 * hsv[..., 1], 0, 255)
    return replace(face, pixels=cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB))


def _log_albedo(scene: Scene, faces: tuple[PhotoFace, ...]) -> np.ndarray:
    return np.log(linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo))


def test_stage_lamps_do_not_colour_the_skin() -> None:
    shots = [Shot(yaw, _stage_light(side)) for yaw, side in ((0.0, 1.0), (25.0, 1.0), (-25.0, -1.0))]
    scene = make_scene(shots, fitted_light=soft_light(0.0))
    found = _log_albedo(scene, tuple(_saturated(face) for face in scene.faces))
    skin = found[_region(scene, "cheeks") | _region(scene, "forehead")]
    chroma = skin - skin.mean(1, keepdims=True)
    deviating = np.linalg.norm(chroma - np.median(chroma, axis=0), axis=1)
    assert np.quantile(deviating, 0.95) < 0.1
    red, green, blue = np.median(skin, axis=0)
    assert red > green > blue, "and it is skin's colour"
    lips = np.median(found[_region(scene, "lips")], axis=0)
    assert lips[0] - lips[1] > red - green + 0.1, "lips are redder than skin, though no photo's colour is confidence"


def test_the_end_of_a_hard_shadow_is_a_fifth_of_it_on_the_skin() -> None:
    """The sharpest photo of three is lit hard from a side, with a shadow of 0.51 log units whose edges run down a
    cheek."""
    hard = soft_light(0.9, z=0.3, key=1.6, ambient=0.12)
    scene = make_scene([Shot(0.0, hard, size=768), Shot(25.0, soft_light(0.2)), Shot(-25.0, soft_light(-0.3))])
    first, *others = scene.fitted.photos
    scene = replace(
        scene, fitted=replace(scene.fitted, photos=(first, *(replace(o, landmark_error_percent=4.0) for o in others)))
    )
    face = scene.faces[0]
    pixels = face.pixels.astype(np.float32)
    columns, cheek = np.arange(pixels.shape[1]), face.landmarks[205, 0]  # beside the nose, on the person's right
    pixels[:, (columns < cheek) & (columns > cheek - 60)] *= 0.6
    shadowed = (replace(face, pixels=pixels.astype(np.uint8)), *scene.faces[1:])
    difference = (_log_albedo(scene, shadowed) - _log_albedo(scene, scene.faces)).mean(2)
    assert np.quantile(np.abs(difference[_region(scene, "cheeks")]), 0.98) < 0.1


def test_one_tint_is_no_spread_of_colours() -> None:
    rng = np.random.default_rng(0)
    brightness = rng.uniform(0.1, 0.8, (500, 1))
    weight = rng.uniform(0.0, 1.0, 500)
    assert colour_spread(brightness * np.array([0.9, 0.4, 0.1]), weight) < 1e-6
    sides = np.where(np.arange(500)[:, None] < 250, [0.9, 0.4, 0.1], [0.3, 0.4, 0.7])
    assert colour_spread(brightness * sides, weight) > 0.6
    assert colour_spread(brightness * sides, np.zeros(500)) == 0.0
