"""Painted lips are as red as photos show them."""

from __future__ import annotations

import cv2
import numpy as np
from texture_scene import Shot, make_scene, soft_light, with_labels

from backend.photos.collection import FaceClass
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 1024
PAINT = np.array([0.9, 0.35, 0.45])  # of the linear light that lips without it reflect


def test_lipstick_in_sharp_photos_keeps_its_colour() -> None:
    """Dark detail lost half of its own colour, as dark hairs have to, and lips are dark."""
    scene = make_scene([Shot(0.0, size=1024), Shot(18.0, soft_light(-0.3), size=1024)])
    faces = []
    for face in scene.faces:
        lips = cv2.GaussianBlur((face.labels == FaceClass.LIPS).astype(np.float32), (0, 0), 1.0)[..., None]
        pixels = srgb_bytes(linear_from_srgb(face.pixels) * (1.0 - lips + lips * PAINT).astype(np.float32))
        faces.append(with_labels(face, face.labels, pixels))
    found = linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, SIZE).albedo)
    truth = cv2.resize(scene.truth, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    stacked = np.stack([surface.regions["lips"], surface.regions["cheeks"]], 1)
    lips, cheeks = np.moveaxis(space.skin.image(space.skin.sample(stacked)) > 0.95, 2, 0)

    def redder(albedo: np.ndarray) -> float:
        """Log units by which the lips' red over green is more than the cheeks'."""
        ratio = np.log(albedo[..., 0] / albedo[..., 1])
        return float(np.median(ratio[lips]) - np.median(ratio[cheeks]))

    expected = redder(truth) + np.log(PAINT[0] / PAINT[1])
    assert abs(redder(found) - expected) < 0.17 * expected
