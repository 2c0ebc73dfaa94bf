"""Lips are as red as photos show them, whatever paints or hides them; all photos take part: no small difference between
two turns a feature."""

from dataclasses import replace

import cv2
import numpy as np
from texture_scene import Shot, make_scene, soft_light, with_labels

from backend.geometry.template import load_template
from backend.photos.collection import FaceClass, PhotoQuality
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 1024
PAINT = np.array([0.9, 0.35, 0.45])  # of the linear light that lips without it reflect


def colour(albedo: np.ndarray, place: str, channels: tuple[float, float, float] = (1.0, -1.0, 0.0)) -> float:
    """The place's median log of red over green, or of another product of the ``channels``' powers, less the cheeks', in
    a texture (R, R, 3) uint8 sRGB."""
    surface, skin = head_surface(load_template()), texture_space(load_template(), len(albedo)).skin
    inside = skin.sample(np.stack([surface.regions[name] for name in (place, "cheeks")], 1)) > 0.95
    ratio = np.log(skin.gather(linear_from_srgb(albedo))) @ channels
    return float(np.subtract(*(np.median(ratio[own]) for own in inside.T)))


def test_lipstick_in_sharp_photos_keeps_its_colour() -> None:
    """Dark detail lost half of its own colour, as dark hairs have to, and lips are dark."""
    scene = make_scene([Shot(0.0, size=1024), Shot(18.0, soft_light(-0.3), size=1024)])
    faces = []
    for face in scene.faces:
        lips = cv2.GaussianBlur((face.labels == FaceClass.LIPS).astype(np.float32), (0, 0), 1.0)[..., None]
        pixels = srgb_bytes(linear_from_srgb(face.pixels) * (1.0 - lips + lips * PAINT).astype(np.float32))
        faces.append(with_labels(face, face.labels, pixels))
    found = build_albedo(scene.template, scene.fitted, faces, SIZE).albedo
    truth = srgb_bytes(cv2.resize(scene.truth, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    expected = colour(truth, "lips") + np.log(PAINT[0] / PAINT[1])
    assert abs(colour(found, "lips") - expected) < 0.17 * expected


def test_a_purple_moustache_over_lips_is_grey_and_leaves_them_red() -> None:
    """Light in its shadows made it lilac, and what hid lips was painted on them."""
    scene, faces = make_scene([Shot(0.0, size=192), Shot(12.0, size=192)]), []
    for face in scene.faces:
        low = np.arange(len(face.labels))[:, None] > face.landmarks[17, 1] - 15
        beard = low & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK, FaceClass.LIPS))
        labels, pixels = face.labels.copy(), face.pixels.copy()
        labels[beard], pixels[beard] = FaceClass.FACIAL_HAIR, (62, 50, 70)
        faces.append(with_labels(face, labels, pixels))
    found = build_albedo(scene.template, scene.fitted, faces, 512).albedo
    assert colour(found, "lips") > 0.2
    assert colour(found, "chin", (-0.5, 1.0, -0.5)) > -0.02


def test_a_hair_of_sharpness_does_not_turn_the_lips() -> None:
    scene = make_scene([Shot(6.0), Shot(-6.0)])
    surface, space = head_surface(scene.template), texture_space(scene.template, 256)
    lips = space.skin.image(space.skin.sample(surface.regions["lips"][:, None])[:, 0]) > 0.7
    pale, painted = scene.faces
    lines = (np.arange(pale.pixels.shape[1]) // 4 % 2)[None] * (painted.labels == FaceClass.LIPS)
    marked = (painted.pixels * (1.0 - 0.2 * lines)[..., None]).astype(np.uint8)
    painted = with_labels(painted, painted.labels, marked)

    def brightness(first: float, second: float) -> np.ndarray:
        qualities = (PhotoQuality(score, 1.0, 1.0, 1.0, 1.0, 1.0) for score in (first, second))
        faces = [replace(face, quality=one) for face, one in zip((pale, painted), qualities, strict=True)]
        albedo = linear_from_srgb(build_albedo(scene.template, scene.fitted, faces, 256).albedo)
        return np.log(np.maximum(albedo.mean(2), 1e-3))[lips]

    turned = brightness(0.82, 0.80) - brightness(0.80, 0.82)
    assert np.percentile(np.abs(turned), 95) < 0.15, "log units; 0.34 where one photo paints the lips"
