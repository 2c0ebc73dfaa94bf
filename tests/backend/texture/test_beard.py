"""A beard that photos show goes on where none looks."""

from __future__ import annotations

import numpy as np
from texture_scene import Scene, Shot, make_scene, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 512


def test_a_beard_goes_on_below_the_chin() -> None:
    """Photos from the front show a dark beard down to the jaw: the neck's first centimetre is not bare."""
    scene, faces = make_scene([Shot(0.0), Shot(12.0), Shot(-12.0)]), []
    for face in scene.faces:
        mouth = face.landmarks[17, 1] + 6
        down = np.arange(face.labels.shape[0])[:, None]
        beard = (down > mouth) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK))
        pixels, labels = face.pixels.copy(), face.labels.copy()
        pixels[beard] = (pixels[beard] * 0.35).astype(np.uint8)
        labels[beard] = FaceClass.FACIAL_HAIR
        faces.append(with_labels(face, labels, pixels))
    below, _, brightness, level = _below_chin(scene, faces)
    assert below.sum() > 50
    assert np.median(brightness[below]) < level - 0.5


def _below_chin(scene: Scene, faces: list[PhotoFace]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Texels (P,) of the first centimetre below the chin that no photo shows, and of the ears; log brightness (P,) of
    the texture, and its level on the upper cheeks."""
    surface = head_surface(scene.template)
    result = build_albedo(scene.template, scene.fitted, faces, SIZE)
    space = texture_space(scene.template, SIZE)
    positions = space.skin.sample(surface.lifted(scene.template.vertices[: surface.count].astype(np.float64)))
    names = ("chin", "cheeks", "ears")
    chin, cheeks, ears = space.skin.sample(np.stack([surface.regions[name] for name in names], 1)).T
    bottom = float(positions[chin > 0.5, 1].min())
    below = (np.abs(positions[:, 0]) < 0.03) & (np.abs(positions[:, 1] - bottom + 0.004) < 0.004)
    below &= (space.skin.gather(result.coverage) < 0.05) & (positions[:, 2] > 0.07)
    upper = (cheeks > 0.95) & (positions[:, 1] > np.median(positions[cheeks > 0.95, 1]))
    brightness = space.skin.gather(np.log(np.maximum(linear_from_srgb(result.albedo), 1e-3))).mean(1)
    return below, ears > 0.9, brightness, float(np.median(brightness[upper]))


def test_a_made_up_beard_is_as_dark_as_the_seen_one_and_leaves_the_ears() -> None:
    """Bristles a third as bright as the skin that shines between them, which is called beard, too: what goes on along
    the jaw was nearly the mean of both, so that the beard ended in a dark edge."""
    scene, faces = make_scene([Shot(0.0), Shot(12.0), Shot(-12.0)]), []
    rows, columns = np.indices(scene.faces[0].labels.shape)
    for face in scene.faces:
        beard = (rows > face.landmarks[17, 1] - 12) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK))
        pixels, labels = face.pixels.copy(), face.labels.copy()
        dark = beard & ((rows // 3 + columns // 3) % 2 == 0)
        pixels[dark] = (pixels[dark] * 0.3).astype(np.uint8)
        labels[beard] = FaceClass.FACIAL_HAIR
        faces.append(with_labels(face, labels, pixels))
    below, ears, brightness, level = _below_chin(scene, faces)
    assert below.sum() > 50 and np.median(brightness[below]) < level - 0.8
    assert np.median(brightness[ears]) > level - 0.3
