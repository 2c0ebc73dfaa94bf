"""A beard that photos show ends softly below the jaw."""

from __future__ import annotations

import numpy as np
from texture_scene import Scene, Shot, make_scene, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space

SIZE = 512


def test_a_beard_ends_at_the_jaw() -> None:
    """Photos from the front show a beard and a neck darker by 2.3 log units, which is called beard, too: the chin has
    the beard's tone, the first centimetre below it is a soft end, and the neck is the face's skin."""
    scene, faces = make_scene([Shot(0.0), Shot(12.0), Shot(-12.0)]), []
    for face in scene.faces:
        mouth = face.landmarks[17, 1] + 6
        down = np.arange(face.labels.shape[0])[:, None]
        beard = (down > mouth) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK))
        pixels, labels = face.pixels.copy(), face.labels.copy()
        pixels[beard] = (pixels[beard] * 0.35).astype(np.uint8)
        labels[beard] = FaceClass.FACIAL_HAIR
        faces.append(with_labels(face, labels, pixels))
    chin, below, neck, _ = _on_the_way_down(scene, faces)
    assert -2.5 < chin < -1.7 and 0.2 < below / chin < 0.5
    assert abs(neck) < 0.15


def _on_the_way_down(scene: Scene, faces: list[PhotoFace]) -> tuple[float, float, float, float]:
    """Median log brightness of the texture on the chin, in the first centimetre below it that no photo shows, on the
    neck's front, and on the ears, over that of the upper cheeks."""
    surface = head_surface(scene.template)
    result = build_albedo(scene.template, scene.fitted, faces, SIZE)
    space = texture_space(scene.template, SIZE)
    positions = space.skin.sample(surface.lifted(scene.template.vertices[: surface.count].astype(np.float64)))
    names = ("chin", "cheeks", "ears", "neck")
    chin, cheeks, ears, neck = space.skin.sample(np.stack([surface.regions[name] for name in names], 1)).T
    bottom = float(positions[chin > 0.5, 1].min())
    below = (np.abs(positions[:, 0]) < 0.03) & (np.abs(positions[:, 1] - bottom + 0.004) < 0.004)
    below &= (space.skin.gather(result.coverage) < 0.05) & (positions[:, 2] > 0.07)
    upper = (cheeks > 0.95) & (positions[:, 1] > np.median(positions[cheeks > 0.95, 1]))
    brightness = space.skin.gather(np.log(np.maximum(linear_from_srgb(result.albedo), 1e-3))).mean(1)
    places = (chin > 0.9, below, (neck > 0.5) & (positions[:, 2] > 0.03), ears > 0.9)
    assert min(place.sum() for place in places) > 50
    on_chin, ends, front, ear = (float(np.median(brightness[p]) - np.median(brightness[upper])) for p in places)
    return on_chin, ends, front, ear


def test_a_beard_of_bristles_leaves_neck_and_ears() -> None:
    """Bristles a third as bright as the skin that shines between them, which is called beard, too."""
    scene, faces = make_scene([Shot(0.0), Shot(12.0), Shot(-12.0)]), []
    rows, columns = np.indices(scene.faces[0].labels.shape)
    for face in scene.faces:
        beard = (rows > face.landmarks[17, 1] - 12) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK))
        pixels, labels = face.pixels.copy(), face.labels.copy()
        dark = beard & ((rows // 3 + columns // 3) % 2 == 0)
        pixels[dark] = (pixels[dark] * 0.3).astype(np.uint8)
        labels[beard] = FaceClass.FACIAL_HAIR
        faces.append(with_labels(face, labels, pixels))
    chin, below, neck, ears = _on_the_way_down(scene, faces)
    assert chin < below < -0.2
    assert abs(neck) < 0.25 and ears > -0.3
