"""Hair is no part of the texture: below it lies skin with the shade of roots."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree
from texture_scene import Scene, Shot, make_scene, soft_light, with_labels

from backend.geometry.vectors import smoothstep
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_strands import Scalp as HairScalp
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import build_albedo
from backend.texture.parts import beside_hair, scalp_below, with_roots
from backend.texture.surface import head_surface, texture_space
from backend.texture.unwrap import PhotoUnwrap, TexturePhoto

SIZE = 512
BLACK = (0.02, 0.014, 0.01)


@cache
def haired_scene() -> tuple[Scene, list[PhotoFace]]:
    """Three photos with black hair above the forehead and hanging beside the eyes."""
    scene, faces = make_scene([Shot(0.0), Shot(25.0, soft_light(-0.3)), Shot(-25.0, soft_light(0.4))]), []
    for face in scene.faces:
        eyes, brows = face.landmarks[[33, 263], 0], face.landmarks[[105, 334], 1].mean()
        across, down = np.arange(face.labels.shape[1])[None], np.arange(face.labels.shape[0])[:, None]
        hair = (across < eyes[0] - 8) | (across > eyes[1] + 8) | (down < brows - 55)
        hair = hair & (face.labels != FaceClass.BACKGROUND)
        pixels, labels = face.pixels.copy(), face.labels.copy()
        pixels[hair], labels[hair] = (50, 34, 26), FaceClass.HAIR
        faces.append(with_labels(face, labels, pixels))
    return scene, faces


def strands_on(scene: Scene, colour: tuple[float, float, float] = BLACK, length: float = 0.03) -> HairStrands:
    """Straight hair that stands on the subdivided scalp."""
    surface = head_surface(scene.template)
    positions = surface.lifted(scene.fitted.neutral[: surface.count].astype(np.float64)).astype(np.float32)
    grows = surface.regions["scalp"] > 0.9
    edge = cKDTree(positions[~grows]).query(positions)[0] - cKDTree(positions[grows]).query(positions)[0]
    maps = np.array([smoothstep(0.0, 0.008, edge), edge, grows, np.full(len(edge), length), edge], np.float32)
    scalp = HairScalp(positions, np.zeros((0, 3), np.int32), positions[:, :2], *maps)
    roots = positions[grows][:: len(positions) // 4000 + 1]
    points = roots[:, None] + np.linspace(0, length, 4, dtype=np.float32)[:, None] * np.float32([0, 1, 0])
    colours = np.tile(np.array(colour, np.float32), (len(roots), 1))
    width, uv = np.full(len(roots), 0.016, np.float32), np.zeros((len(roots), 2), np.float32)
    return HairStrands(points, uv, width, colours, colours, 4e-5, "crew", {}, scalp)


def brightness_of(scene: Scene, faces: list[PhotoFace], strands: HairStrands | None) -> np.ndarray:
    """(SIZE, SIZE) log."""
    result = build_albedo(scene.template, scene.fitted, faces, SIZE, strands)
    return np.log(np.maximum(linear_from_srgb(result.albedo), 1e-3)).mean(2)


def region(scene: Scene, name: str, least: float) -> np.ndarray:
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    return space.skin.image(space.skin.sample(surface.regions[name][:, None])[:, 0]) > least


def test_hair_that_photos_show_is_not_painted_on_the_skin() -> None:
    scene, faces = haired_scene()
    bare = brightness_of(scene, faces, None)
    skin = np.median(bare[region(scene, "cheeks", 0.95)])
    for name in ("cheeks", "forehead", "scalp"):
        assert np.percentile(bare[region(scene, name, 0.9)], 2) > skin - 0.35, name


def test_the_scalp_below_strands_has_the_shade_of_their_roots() -> None:
    scene, faces = haired_scene()
    bare, shaded = (brightness_of(scene, faces, strands) for strands in (None, strands_on(scene)))
    scalp, cheeks = region(scene, "scalp", 0.98), region(scene, "cheeks", 0.95)
    hair = np.log(BLACK).mean()
    assert abs(np.median(shaded[scalp]) - (0.15 * np.median(bare[scalp]) + 0.85 * hair)) < 0.15, "mostly hair"
    assert abs(np.median(shaded[cheeks]) - np.median(bare[cheeks])) < 0.05
    step = np.abs(np.diff(shaded - bare, axis=0))  # a texel is 0.8 mm
    assert np.percentile(step[region(scene, "face", 0.5)[1:]], 99.9) < 0.35, "a soft line"


def test_hair_grows_on_its_scalp_and_nowhere_else() -> None:
    scene, _ = haired_scene()
    strands = strands_on(scene, (0.5, 0.5, 0.5))
    within = strands.scalp.vertices[np.argmax(strands.scalp.edge)]
    away = within + np.array([[0, 0, 0], [0, 0.3, 0]])
    np.testing.assert_array_equal(scalp_below(strands, away).grows, [1.0, 0.0])
    np.testing.assert_allclose(scalp_below(strands, away).log_color, np.log([0.5] * 3), atol=1e-5)
    assert scalp_below(None, away).grows.max() == 0.0


def test_one_guide_before_the_ear_is_no_spot_and_the_shade_ends_as_the_hair_does() -> None:
    """Guides that hang before bare skin are left out, and one that stays alone was painted as a dark spot."""
    scene, _ = haired_scene()
    strands = strands_on(scene)
    cheek = strands.scalp.vertices[np.argmin(strands.scalp.edge)]
    alone = replace(
        strands, points=np.concatenate([strands.points[1:], strands.points[:1] - strands.points[0, 0] + cheek])
    )
    places, edge = strands.scalp.vertices, strands.scalp.edge
    scalp = scalp_below(alone, places)
    assert scalp.shade[np.linalg.norm(places - cheek, axis=1) < 0.02].max() == 0.0
    assert scalp.shade[edge < -0.01].max() == 0.0 and scalp.shade[edge > 0.02].min() == pytest.approx(0.85)
    assert scalp.grows[edge > 0].min() == 1.0, "photos show its shade there"


def test_shaded_skin_is_not_shown_and_roots_draw_towards_their_colour() -> None:
    unwrap = PhotoUnwrap(*np.zeros((3, 3)), np.ones(3), *np.zeros((3, 3)))
    photo = TexturePhoto(None, None, unwrap, None, None, None)
    shown = beside_hair(photo, np.array([0.0, 0.3, 1.0])).unwrap.weight
    assert shown[0] == 1.0 and 0 < shown[1] < 1 and shown[2] == 0.0
    skin, hair = np.full((2, 3), -1.0, np.float32), np.full(3, -4.0)
    np.testing.assert_allclose(with_roots(skin, np.array([0.0, 0.5]), hair)[:, 0], [-1.0, -2.5])


def test_white_roots_leave_no_pale_rim_on_the_skin() -> None:
    skin = np.log(np.array([[0.3, 0.2, 0.12]], np.float32))
    np.testing.assert_allclose(with_roots(skin, np.ones(1), np.log(np.array([0.6, 0.58, 0.55]))), skin)


def test_the_scalp_below_hair_is_darker_than_below_stubble() -> None:
    scene, _ = haired_scene()

    def shade(length: float) -> float:
        strands = strands_on(scene, length=length)
        return float(np.median(scalp_below(strands, strands.points[:, 0]).shade))

    assert shade(0.002) == 0.5
    assert shade(0.006) == pytest.approx(1 - np.exp(-2e6 * 8e-5 * 0.006), abs=0.03)
    assert shade(0.028) == shade(0.1) == pytest.approx(0.85), "holes in a crop, where it was that of stubble"
