"""The artist's edits of a texture: a region by photo, the other side, less make-up, light left in."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from texture_scene import Scene, Shot, make_scene, soft_light

from backend.errors import LikenessError
from backend.photos.collection import PhotoFace
from backend.rendering.color import linear_from_srgb
from backend.texture.albedo import AlbedoResult, build_albedo, finish_albedo
from backend.texture.edits import TextureEdits, check_edits, painted_by, region_shares
from backend.texture.skin_prior import skin_prior
from protocol.options import TEXTURE_REGIONS

SIZE = 512
CHEEK = 425  # landmark in the middle of the left cheek
MARK = 0.008  # metres: radius of a mark on that cheek which one photo alone shows
SHOTS = [Shot(0.0, soft_light(0.2)), Shot(30.0, soft_light(-0.8)), Shot(-30.0, soft_light(0.8, key=1.0))]


def _marked(face: PhotoFace, pixels_per_metre: float) -> PhotoFace:
    place = tuple(round(float(one)) for one in face.landmarks[CHEEK, :2])
    pixels = np.ascontiguousarray(face.pixels)
    return replace(face, pixels=cv2.circle(pixels.copy(), place, round(MARK * pixels_per_metre), (110, 60, 50), -1))


@pytest.fixture(scope="module")
def made() -> tuple[Scene, AlbedoResult]:
    """Three photos; the first has a mark on the left cheek."""
    scene = make_scene(SHOTS)
    first, *others = scene.faces
    width = np.ptp(first.landmarks[:, 0]) / np.ptp(scene.template.landmarks478.positions(scene.fitted.neutral)[:, 0])
    faces = (_marked(first, width), *others)
    return scene, build_albedo(scene.template, scene.fitted, faces, SIZE)


def _painted(result: AlbedoResult, regions: dict[str, tuple[str, ...]], brushes: dict[str, bytes]) -> TextureEdits:
    skin = result.layers.skin
    return TextureEdits(painted_by(skin.surface, skin.positions, regions, brushes))


def _logs(result: AlbedoResult, edits: TextureEdits) -> np.ndarray:
    """(P, 3) log albedo at the skin's texels."""
    albedo = linear_from_srgb(finish_albedo(result.layers, edits))
    return np.log(np.maximum(result.layers.skin.atlas.gather(albedo), 1e-3))


def _from_cheek(scene: Scene, result: AlbedoResult) -> np.ndarray:
    """(P,) metres of the skin's texels from the mark."""
    skin = result.layers.skin
    place = scene.template.landmarks478.positions(scene.fitted.neutral)[CHEEK]
    return np.linalg.norm(skin.atlas.sample(skin.positions) - place, axis=1)


def _of(result: AlbedoResult, region: str) -> np.ndarray:
    """(P,) share of a region of the template at the skin's texels."""
    skin = result.layers.skin
    return skin.atlas.sample(skin.surface.regions[region][:, None])[:, 0]


def test_nothing_asked_is_the_texture_itself(made: tuple[Scene, AlbedoResult]) -> None:
    _, result = made
    np.testing.assert_array_equal(finish_albedo(result.layers, TextureEdits()), result.albedo)


def test_a_region_has_its_photos_colours_and_nothing_changes_elsewhere(made: tuple[Scene, AlbedoResult]) -> None:
    scene, result = made
    names = [face.name for face in scene.faces]
    near = _from_cheek(scene, result)
    before = _logs(result, TextureEdits())
    depth = []
    for name in names[:2]:
        after = _logs(result, _painted(result, {name: ("left cheek",)}, {}))
        depth.append(
            float((after[near < 0.5 * MARK] - after[(near > 1.5 * MARK) & (near < 2.0 * MARK)].mean(0)).mean())
        )
        far = near > 0.11
        assert far.sum() > 1000
        np.testing.assert_array_equal(after[far], before[far])
    assert depth[0] < -0.5, "the photo with the mark shows it"
    assert abs(depth[1]) < 0.15, "the photo without it does not"


def test_the_brush_is_a_region_of_its_own(made: tuple[Scene, AlbedoResult]) -> None:
    scene, result = made
    surface, name = result.layers.skin.surface, scene.faces[0].name
    cheek = region_shares(surface, result.layers.skin.positions)["left cheek"]
    brush = np.round(255 * cheek).astype(np.uint8).tobytes()
    edits = [_painted(result, {name: ("left cheek",)}, {}), _painted(result, {}, {name: brush})]
    one, two = (finish_albedo(result.layers, own) for own in edits)
    np.testing.assert_array_equal(one, two)
    assert (one != result.albedo).any()
    with pytest.raises(LikenessError, match="another head"):
        _painted(result, {}, {name: brush[1:]})


def test_photos_that_do_not_show_a_region_are_named(made: tuple[Scene, AlbedoResult]) -> None:
    scene, result = made
    edits = _painted(result, {"elsewhere.jpg": ("nose",)}, {})
    np.testing.assert_array_equal(finish_albedo(result.layers, edits), result.albedo)
    with pytest.raises(LikenessError, match=r"elsewhere\.jpg takes no part"):
        check_edits(result.layers.skin, edits)
    hidden = 0
    for name in (face.name for face in scene.faces[1:]):
        for region in ("left ear", "right ear"):
            try:
                check_edits(result.layers.skin, _painted(result, {name: (region,)}, {}))
            except LikenessError as error:
                assert "does not show" in error.sentence
                hidden += 1
    assert hidden == 2, "each photo from a side hides one ear"


def test_what_no_photo_paints_is_named(made: tuple[Scene, AlbedoResult]) -> None:
    scene, result = made
    skin = result.layers.skin
    inside = skin.surface.regions["mouth_interior"][: skin.surface.count] > 0.9
    brush = np.where(inside, 255, 0).astype(np.uint8).tobytes()
    with pytest.raises(LikenessError, match="inside of the mouth"):
        check_edits(skin, _painted(result, {}, {scene.faces[0].name: brush}))


def test_a_side_filled_from_the_other_is_its_mirror_image(made: tuple[Scene, AlbedoResult]) -> None:
    _, result = made
    skin = result.layers.skin
    before, after = _logs(result, TextureEdits()), _logs(result, TextureEdits(mirror=("left",)))
    across = skin.atlas.sample(skin.positions)[:, 0]
    face = (_of(result, "cheeks") > 0.5) | (_of(result, "forehead") > 0.5)

    def unlike(logs: np.ndarray) -> float:
        difference = logs - skin.atlas.gather(skin.atlas.image(logs)[:, ::-1])
        return float(np.abs(difference[face & (across > 0.01)]).mean())

    assert unlike(after) < 0.01 < 0.03 < unlike(before)
    right = face & (across < -0.02)
    np.testing.assert_array_equal(after[right], before[right])
    cheek = _logs(result, TextureEdits(mirror=("left cheek",)))
    nose = (_of(result, "nose") > 0.9) & (np.abs(across) < 0.005)
    np.testing.assert_array_equal(cheek[nose], before[nose])


def test_make_up_is_drawn_to_the_prior_by_strength(made: tuple[Scene, AlbedoResult]) -> None:
    """Lips are as red beside the cheeks as the prior's are; half the strength goes half the way."""
    _, result = made
    lips = (_of(result, "lips") > 0.95) & (result.layers.skin.atlas.gather(result.coverage) > 0.5)
    plain = _of(result, "chin") > 0.9
    assert lips.sum() > 100

    def redness(logs: np.ndarray) -> float:
        red = logs[:, 0] - logs[:, 1]
        return float(red[lips].mean() - red[plain].mean())

    painted = replace(
        result.layers,
        skin=replace(
            result.layers.skin, log_skin=result.layers.skin.log_skin + lips[:, None] * np.float32([0.1, -0.5, -0.3])
        ),
    )
    made_up = replace(result, layers=painted)
    found = [redness(_logs(made_up, TextureEdits(make_up=share))) for share in (0.0, 0.5, 1.0)]
    regions, mean = result.layers.skin.surface.regions, skin_prior().mean
    count = len(mean)
    usual = mean[:, 0] - mean[:, 1]
    wanted = usual[regions["lips"][:count] > 0.95].mean() - usual[regions["chin"][:count] > 0.9].mean()
    assert found[0] - wanted > 0.3
    assert abs(found[2] - wanted) < 0.12
    assert found[1] == pytest.approx(0.5 * (found[0] + found[2]), abs=0.02)
    forehead = _of(result, "forehead") > 0.9
    np.testing.assert_array_equal(
        _logs(result, TextureEdits(make_up=1.0))[forehead], _logs(result, TextureEdits())[forehead]
    )


def test_light_is_left_in_by_share() -> None:
    """A lamp from the person's right: without delighting that cheek is the brighter one, with half of it by half."""
    scene = make_scene([Shot(0.0, soft_light(-0.8, key=1.0))])
    result = build_albedo(scene.template, scene.fitted, scene.faces, SIZE)
    across = result.layers.skin.atlas.sample(result.layers.skin.positions)[:, 0]
    shown = (_of(result, "cheeks") > 0.5) & (result.layers.skin.atlas.gather(result.coverage) > 0.9)

    def one_sided(delighting: float) -> float:
        logs = _logs(result, TextureEdits(delighting=delighting)).mean(1)
        return float(logs[shown & (across < 0)].mean() - logs[shown & (across > 0)].mean())

    none, half, all_of_it = map(one_sided, (0.0, 0.5, 1.0))
    assert none > 0.2 and abs(all_of_it) < 0.3 * none
    assert half == pytest.approx(0.5 * (none + all_of_it), abs=0.02)


def test_regions_cover_the_head_once(made: tuple[Scene, AlbedoResult]) -> None:
    _, result = made
    shares = region_shares(result.layers.skin.surface, result.layers.skin.positions)
    assert set(TEXTURE_REGIONS) <= shares.keys()
    parts = [name for name in TEXTURE_REGIONS if name not in ("left", "right")]
    np.testing.assert_array_equal(sum(shares[name] for name in parts), 1.0)
