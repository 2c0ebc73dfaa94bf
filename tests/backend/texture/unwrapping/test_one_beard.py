"""Somebody who shaved between two photos has one beard or none."""

from __future__ import annotations

import numpy as np
import pytest
from texture_scene import Scene, Shot, make_scene, with_labels

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.unwrapping.head_surface import head_surface, texture_space
from backend.texture.unwrapping.one_beard import with_one_beard

SIZE = 512
VIEWS = [Shot(-25.0), Shot(0.0), Shot(25.0)]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(VIEWS)


def bearded(face: PhotoFace) -> PhotoFace:
    """The face with a dark beard from the lower lip down."""
    down = np.arange(face.labels.shape[0])[:, None]
    beard = (down > face.landmarks[17, 1] + 6) & np.isin(face.labels, (FaceClass.SKIN, FaceClass.NECK))
    pixels, labels = face.pixels.copy(), face.labels.copy()
    pixels[beard] = (pixels[beard] * 0.35).astype(np.uint8)
    labels[beard] = FaceClass.FACIAL_HAIR
    return with_labels(face, labels, pixels)


def lower_face(scene: Scene, faces: tuple[PhotoFace, ...]) -> tuple[float, float]:
    """Log brightness of the texture on the chin and on the jaw's left side, less that of the upper cheeks."""
    space, surface = texture_space(scene.template, SIZE), head_surface(scene.template)
    albedo = build_albedo(scene.template, scene.fitted, faces, SIZE).albedo
    brightness = space.skin.gather(np.log(np.maximum(linear_from_srgb(albedo), 1e-3))).mean(1)
    chin, cheeks = space.skin.sample(np.stack([surface.regions[name] for name in ("chin", "cheeks")], 1)).T
    places = space.skin.sample(surface.lifted(scene.template.vertices[: surface.count].astype(np.float64)))
    middle = np.median(places[chin > 0.8], axis=0)
    upper = (cheeks > 0.95) & (places[:, 1] > np.median(places[cheeks > 0.95, 1]))
    jaw = (np.abs(places[:, 1] - middle[1] - 0.005) < 0.008) & (np.abs(places[:, 0] - 0.035) < 0.008)
    level = np.median(brightness[upper])
    return float(np.median(brightness[chin > 0.8]) - level), float(np.median(brightness[jaw]) - level)


def test_of_three_photos_the_one_with_a_beard_leaves_the_lower_face_to_the_others(scene: Scene) -> None:
    """The jaw's left side, which that photo shows best, was bearded and the rest was not."""
    faces = (scene.faces[0], scene.faces[1], bearded(scene.faces[2]))
    agreed = with_one_beard(scene.template, scene.fitted, faces)
    assert agreed[0] is faces[0] and agreed[1] is faces[1]
    covered = agreed[2].labels == FaceClass.OCCLUDER
    assert (covered[faces[2].labels == FaceClass.FACIAL_HAIR]).all()
    assert not covered[: round(faces[2].landmarks[168, 1]) + 40].any()  # the upper cheeks
    np.testing.assert_allclose(lower_face(scene, agreed), lower_face(scene, scene.faces), atol=0.12)
    assert min(lower_face(scene, faces)) < min(lower_face(scene, scene.faces)) - 0.3


def test_of_three_photos_the_one_without_a_beard_leaves_the_lower_face_to_the_others(scene: Scene) -> None:
    faces = (bearded(scene.faces[0]), bearded(scene.faces[1]), scene.faces[2])
    agreed = with_one_beard(scene.template, scene.fitted, faces)
    assert agreed[0] is faces[0] and agreed[1] is faces[1]
    assert lower_face(scene, agreed)[0] < -0.7
    assert (agreed[2].labels == FaceClass.OCCLUDER).sum() > 2000


@pytest.mark.parametrize("count", [1, 3])
def test_photos_that_agree_stay_as_they_are(scene: Scene, count: int) -> None:
    for faces in (scene.faces[:count], tuple(map(bearded, scene.faces[:count]))):
        fitted = scene.fitted if count == 3 else make_scene(VIEWS[:1]).fitted
        agreed = with_one_beard(scene.template, fitted, faces)
        assert all(one is other for one, other in zip(agreed, faces, strict=True))
