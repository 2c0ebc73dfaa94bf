"""Photos in which a hat shades the forehead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from texture_scene import Scene, Shot, make_scene, with_labels

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.albedo import build_albedo
from backend.texture.unwrapping.hats import wears_hat
from backend.texture.unwrapping.head_surface import head_surface, texture_space
from backend.texture.unwrapping.unwrap import PhotoUnwrap

SIZE = 256
SHADE = 0.9  # log units by which the skin is darker at the hat's edge
TURNS = (0.0, 15.0, -15.0)
_TOP, _FOREHEAD, _BROW = 10, 151, 105  # landmarks: top and middle of the forehead, a brow's upper edge


def _shaded(face: PhotoFace, hat: bool) -> PhotoFace:
    """The photo with the skin darker from the brows up; ``hat``: a dark hat on the upper forehead and above."""
    edge, brow = face.landmarks[[_TOP, _FOREHEAD], 1].mean(), face.landmarks[_BROW, 1]
    rows = np.arange(face.pixels.shape[0])[:, None]
    dark = np.exp(-SHADE * smoothstep(brow, edge, rows)) * np.ones(face.labels.shape)
    head = face.labels != FaceClass.BACKGROUND
    pixels = np.where(head[..., None], srgb_bytes(linear_from_srgb(face.pixels) * dark[..., None]), face.pixels)
    covered = head & (rows < edge)
    if not hat:
        return with_labels(face, face.labels, pixels)
    pixels = np.where(covered[..., None], np.array([20, 25, 60], np.uint8), pixels)
    return with_labels(face, np.where(covered, FaceClass.OCCLUDER, face.labels).astype(np.uint8), pixels)


def _darker(scene: Scene, faces: list[PhotoFace]) -> dict[str, float]:
    """Log units by which the texture is darker than from the photos as they are, less the cheeks' median: the
    forehead's darkest tenth, and the brows' median."""
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    clean, found = (
        np.log(linear_from_srgb(build_albedo(scene.template, scene.fitted, photos, SIZE).albedo).mean(2) + 1e-3)
        for photos in (scene.faces, faces)
    )

    def within(region: str, share: float) -> float:
        mask = space.skin.image(space.skin.sample(surface.regions[region][:, None])[:, 0]) > 0.9
        return float(np.quantile((clean - found)[mask], share))

    cheeks = within("cheeks", 0.5)
    return {"forehead": within("forehead", 0.9) - cheeks, "brows": within("brows", 0.5) - cheeks}


def test_the_shade_of_a_hat_is_not_drawn_on_the_forehead() -> None:
    scene = make_scene([Shot(turn) for turn in TURNS])
    darker = _darker(scene, [_shaded(face, hat=True) for face in scene.faces])
    assert darker["forehead"] < 0.1
    assert abs(darker["brows"]) < 0.15, "and brows stay as dark as they are"


def test_a_hand_on_the_head_is_no_hat() -> None:
    labels = np.full(100, FaceClass.HAIR, np.uint8)
    none = np.zeros(100, np.float32)
    shown = PhotoUnwrap(none[:, None], labels, none + 1, none, none, none, none, none)
    top = np.where(np.arange(100) < 80, 1.0, 0.0)
    labels[:20] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 0.0, "a hand hides a quarter of the hair"
    labels[:60] = FaceClass.OCCLUDER
    assert wears_hat(shown, top) == 1.0
    assert wears_hat(replace(shown, seen=none), top) == 0.0, "a photo that does not see the top tells nothing"
