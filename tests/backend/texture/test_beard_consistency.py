"""Somebody who shaved between two photos has one beard or none."""

from __future__ import annotations

import numpy as np
import pytest
from texture_scene import Scene, Shot, make_scene, with_labels

from backend.photos.collection import CONTRADICTED_LABEL, FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import unwrap_photo, view_surface, with_consistent_beards

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


def dark_share(scene: Scene, faces: tuple[PhotoFace, ...]) -> float:
    """Share of the texels below the nose, lips left out, that are darker than the photos without beards make them."""
    space, surface = texture_space(scene.template, SIZE), head_surface(scene.template)
    lips, head, neck = (surface.regions[name] for name in ("lips", "face", "neck"))
    places = surface.lifted(scene.template.vertices[: surface.count].astype(np.float64))
    below = places[:, 1] < np.median(places[lips > 0.5, 1]) + 0.01
    lower = space.skin.sample((below * np.maximum(head, neck) * (lips < 0.1))[:, None].astype(np.float64))[:, 0] > 0.5
    bearded, bare = (
        space.skin.gather(np.log(np.maximum(linear_from_srgb(build(scene, shown)), 1e-3))).mean(1)
        for shown in (faces, scene.faces)
    )
    return float((bearded - bare < -0.3)[lower].mean())


def build(scene: Scene, faces: tuple[PhotoFace, ...]) -> np.ndarray:
    return build_albedo(scene.template, scene.fitted, faces, SIZE).albedo


@pytest.mark.parametrize("yaw", [30.0, 50.0])
def test_of_two_photos_that_differ_the_bare_one_shows_the_lower_face(yaw: float) -> None:
    """The side that only the bearded photo shows was bearded, and the rest was not."""
    pair = make_scene([Shot(0.0), Shot(yaw)])
    faces = (pair.faces[0], bearded(pair.faces[1]))
    agreed = dark_share(pair, with_consistent_beards(pair.template, pair.fitted, faces))
    assert agreed < 0.01
    assert dark_share(pair, faces) > 4 * max(agreed, 0.01), "half a beard"


def test_of_three_photos_the_one_with_a_beard_leaves_the_lower_face_to_the_others(scene: Scene) -> None:
    faces = (scene.faces[0], scene.faces[1], bearded(scene.faces[2]))
    agreed = with_consistent_beards(scene.template, scene.fitted, faces)
    assert agreed[0] is faces[0] and agreed[1] is faces[1]
    covered = agreed[2].labels == CONTRADICTED_LABEL
    assert (covered[faces[2].labels == FaceClass.FACIAL_HAIR]).all()
    assert not covered[: round(faces[2].landmarks[168, 1]) + 40].any()  # the upper cheeks
    assert dark_share(scene, agreed) < 0.01


def test_the_photo_that_leads_the_look_decides_against_the_others(scene: Scene) -> None:
    faces = (scene.faces[0], scene.faces[1], bearded(scene.faces[2]))
    leader = scene.fitted.photos[2].name
    agreed = with_consistent_beards(scene.template, scene.fitted, faces, leader)
    assert agreed[2] is faces[2]
    assert all((face.labels == CONTRADICTED_LABEL).sum() > 2000 for face in agreed[:2])


def test_of_three_photos_the_one_without_a_beard_leaves_the_lower_face_to_the_others(scene: Scene) -> None:
    faces = (bearded(scene.faces[0]), bearded(scene.faces[1]), scene.faces[2])
    agreed = with_consistent_beards(scene.template, scene.fitted, faces)
    assert agreed[0] is faces[0] and agreed[1] is faces[1]
    assert (agreed[2].labels == CONTRADICTED_LABEL).sum() > 2000
    assert dark_share(scene, agreed) > 0.3


@pytest.mark.parametrize("count", [1, 3])
def test_photos_that_agree_stay_as_they_are(scene: Scene, count: int) -> None:
    for faces in (scene.faces[:count], tuple(map(bearded, scene.faces[:count]))):
        fitted = scene.fitted if count == 3 else make_scene(VIEWS[:1]).fitted
        agreed = with_consistent_beards(scene.template, fitted, faces)
        assert all(one is other for one, other in zip(agreed, faces, strict=True))


def test_lips_beside_a_beard_that_is_left_out_count_as_before(scene: Scene) -> None:
    """They are often what that photo shows best."""
    faces = (scene.faces[0], bearded(scene.faces[1]), scene.faces[2])
    agreed = with_consistent_beards(scene.template, scene.fitted, faces)
    assert agreed[1] is not faces[1]
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    photo = scene.fitted.photos[1]
    head = surface.lifted(photo.vertices[: surface.count].astype(np.float64))
    view = view_surface(head, surface.triangles, photo.camera)
    lips = space.skin.sample(surface.regions["lips"][:, None].astype(np.float64))[:, 0] > 0.9
    before, after = (unwrap_photo(face, view, space.skin, 3000.0).weight[lips] for face in (faces[1], agreed[1]))
    assert before.mean() > 0.2 and after.sum() > 0.9 * before.sum()
