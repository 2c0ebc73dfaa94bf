"""Photos in which a hat shades the forehead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from texture_scene import Shot, make_scene, soft_light, with_labels

from backend.geometry.vectors import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import PhotoUnwrap, wears_hat

SIZE = 512
SHADE = 0.6  # log units by which the skin is darker at the hat's edge
_TOP, _BROW = 10, 105  # landmarks: top of the forehead, a brow's upper edge


def _shaded(face: PhotoFace) -> PhotoFace:
    """The photo with a dark hat on the upper forehead and above, and its shade from there down to the brows."""
    edge, brow = face.landmarks[_TOP, 1], face.landmarks[_BROW, 1]
    rows = np.arange(face.pixels.shape[0])[:, None]
    dark = np.exp(-SHADE * smoothstep(brow, edge, rows)) * np.ones(face.labels.shape)
    head = face.labels != FaceClass.BACKGROUND
    pixels = np.where(head[..., None], srgb_bytes(linear_from_srgb(face.pixels) * dark[..., None]), face.pixels)
    covered = head & (rows < edge)
    pixels = np.where(covered[..., None], np.array([20, 25, 60], np.uint8), pixels)
    return with_labels(face, np.where(covered, FaceClass.OCCLUDER, face.labels).astype(np.uint8), pixels)


def test_the_shade_of_a_hat_is_light_and_no_pigment() -> None:
    """One photo of three, square on, has a hat; the skin that only it shows in full is as light as without the hat."""
    soft = soft_light(0.0, key=0.0, ambient=0.9)
    scene = make_scene([Shot(0.0, soft), Shot(15.0, soft), Shot(-15.0, soft)])
    surface, atlas = head_surface(scene.template), texture_space(scene.template, SIZE).skin
    forehead = atlas.sample(surface.regions["forehead"][:, None])[:, 0] > 0.5

    def logs(faces: tuple[PhotoFace, ...]) -> np.ndarray:
        result = build_albedo(scene.template, scene.fitted, faces, SIZE)
        assert (atlas.gather(result.coverage)[forehead] > 0.5).sum() > 100
        shown = forehead & (atlas.gather(result.coverage) > 0.5)
        return np.where(shown, np.log(atlas.gather(linear_from_srgb(result.albedo)).mean(1)), np.nan)

    difference = logs(tuple(_shaded(face) for face in scene.faces)) - logs(scene.faces)
    assert np.abs(np.nanmean(difference)) < 0.1
    assert np.nanpercentile(difference, 5) > -0.35, "the photos are up to 0.6 darker"


def test_a_hand_on_the_head_is_no_hat() -> None:
    labels = np.full(100, FaceClass.HAIR, np.uint8)
    none = np.zeros(100, np.float32)
    shown = PhotoUnwrap(none[:, None], labels, none + 1, none, none, none, none)
    top = np.where(np.arange(100) < 80, 1.0, 0.0)
    labels[:20] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 0.0, "a hand hides a quarter of the hair"
    labels[:60] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 1.0
    assert wears_hat(replace(shown, visible=none), top) == 0.0, "a photo that does not see the top tells nothing"
