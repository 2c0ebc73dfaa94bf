"""What lies over the cheek in the one photo at rest does not come into the texture if the smiling ones show none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from texture_scene import Scene, Shot, make_scene, soft_light, with_labels

from backend.photos.collection import FaceClass, PhotoQuality
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space
from protocol.names import ARKIT_INDEX

SIZE = 512
SMILE = tuple((ARKIT_INDEX[name], 0.8) for name in ("mouthSmileLeft", "mouthSmileRight"))
TIMES = 0.55  # brightness under a strand, by the file's values


def strands(scene: Scene) -> np.ndarray:
    """(H, W) bool of the first photo: four thin lines down the person's right cheek, on what is labelled skin."""
    face = scene.faces[0]
    eye, mouth = face.landmarks[33, :2], face.landmarks[61, :2]
    mask = np.zeros(face.labels.shape, np.uint8)
    for index in range(4):
        top = (int(eye[0] + 4 + 9 * index), int(eye[1] + 16))
        bottom = (int(mouth[0] - 28 + 9 * index), int(mouth[1] + 8))
        cv2.line(mask, top, bottom, 1, 3)
    return (mask > 0) & (face.labels == FaceClass.SKIN)


def darker_cheeks(scene: Scene) -> np.ndarray:
    """Log units by which strands over a cheek of the first photo darken the texels of both cheeks."""
    there = strands(scene)
    assert there.sum() > 500
    pixels = scene.faces[0].pixels.copy()
    pixels[there] = (TIMES * pixels[there]).astype(np.uint8)
    faces = (with_labels(scene.faces[0], scene.faces[0].labels, pixels), *scene.faces[1:])
    clean = linear_from_srgb(build_albedo(scene.template, scene.fitted, scene.faces, SIZE).albedo)
    found = linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo)
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    cheeks = space.skin.image(space.skin.sample(surface.regions["cheeks"][:, None])[:, 0]) > 0.9
    return (np.log(clean.mean(2)) - np.log(np.maximum(found.mean(2), 1e-3)))[cheeks]


def test_strands_over_a_cheek_at_rest_are_no_skin() -> None:
    scene = make_scene(
        [
            Shot(0.0),
            Shot(5.0, soft_light(-0.3), expression=SMILE),
            Shot(-12.0, soft_light(0.4), expression=SMILE),
            Shot(14.0, soft_light(0.0), expression=SMILE),
        ]
    )
    assert np.percentile(darker_cheeks(scene), 99) < 0.15, "log units"


def test_smooth_skin_decides_between_two_photos() -> None:
    darker = np.percentile(darker_cheeks(make_scene([Shot(0.0), Shot(8.0, soft_light(-0.3))])), 99)
    assert darker < 0.3, "log units; 1.1 without its vote"


@pytest.mark.parametrize(("quality", "most"), [(0.1, 0.6), (1.0, 0.8)])
def test_what_one_photo_shows_on_one_side_is_no_skin(quality: float, most: float) -> None:
    scene = make_scene([Shot(0.0), Shot(8.0, soft_light(-0.3)), Shot(-8.0, soft_light(0.4))])
    covered = [replace(scene.faces[0], quality=PhotoQuality(*[quality] * 6))]
    for face in scene.faces[1:]:
        labels, (eye, mouth) = face.labels.copy(), face.landmarks[[33, 61], :2].astype(int)
        labels[eye[1] + 10 : mouth[1] + 30, eye[0] - 60 : mouth[0] + 8] = FaceClass.OCCLUDER
        covered.append(with_labels(face, labels))
    darker = np.percentile(darker_cheeks(replace(scene, faces=tuple(covered))), 99)
    assert darker < most, "log units; a good photo drew 1.2 where the other side was no witness"
