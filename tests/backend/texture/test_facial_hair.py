"""Beards as strands: where photos label them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from texture_scene import TONE, Scene, Shot, make_scene, with_labels

from backend.geometry.vectors import vertex_normals
from backend.hair.draw import hair_cards
from backend.hair.fit_hair import HairResult
from backend.hair.hair_strands import FACIAL_GUIDES
from backend.models.hair_kind import HairKind
from backend.photos.collection import CONTRADICTED_LABEL, FaceClass, PhotoFace
from backend.pipeline import ReconstructOptions, SkinPhotos, exported_hair, grow_beard
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture import facial_hair
from backend.texture.albedo import AlbedoResult
from backend.texture.facial_hair import grow_facial_hair, joined, without_false_beards
from backend.texture.surface import head_surface, texture_space

SIZE = 256
DARK = -1.2
"""Log units by which a beard is darker than the skin."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene([Shot(-25.0), Shot(0.0), Shot(25.0)])


def labelled(face: PhotoFace, hanging: int = 0, log: float | np.ndarray = DARK) -> PhotoFace:
    """The face with a beard from the lower lip down to the jaw, which ``hanging`` pixels of it hang over, ``log``
    darker than what is below it."""
    down, across = np.mgrid[: face.labels.shape[0], : face.labels.shape[1]]
    chin = face.landmarks[152, 1]
    beard = (down > face.landmarks[17, 1] + 6) & (face.labels == FaceClass.SKIN)
    beard |= (down > chin - 4) & (down < chin + hanging) & (np.abs(across - face.landmarks[152, 0]) < 40)
    darker = srgb_bytes(linear_from_srgb(face.pixels) * np.exp(log * beard[..., None]))
    labels = np.where(beard, FaceClass.FACIAL_HAIR, face.labels).astype(np.uint8)
    return with_labels(replace(face, pixels=darker), labels)


def painted(scene: Scene, log: float) -> np.ndarray:
    """Skin, ``log`` darker in the lower face."""
    surface, space = head_surface(scene.template), texture_space(scene.template, SIZE)
    cage = scene.fitted.neutral[: surface.count].astype(np.float64)
    place = space.skin.sample(surface.lifted(facial_hair.beard_region(surface, cage)[:, None]))
    image = np.broadcast_to(TONE, (SIZE, SIZE, 3)).astype(np.float32).copy()
    image.reshape(-1, 3)[space.skin.texel] *= np.exp(log * place)
    return srgb_bytes(image)


@pytest.fixture(scope="module")
def full(scene: Scene) -> facial_hair.FacialHair:
    return grow_facial_hair(scene.template, scene.fitted, [labelled(f, 40) for f in scene.faces], painted(scene, DARK))


def test_roots_stand_where_photos_label_facial_hair(scene: Scene, full: facial_hair.FacialHair) -> None:
    roots = full.strands.points[:, 0]
    lips = scene.template.regions["lips"][: scene.template.head.vertex_stop] > 0.5
    assert len(roots) > 300
    assert roots[:, 1].max() < np.median(scene.fitted.neutral[: len(lips)][lips][:, 1])
    pixels = scene.fitted.photos[1].camera.project(roots.astype(np.float64))
    labels = labelled(scene.faces[1], 40).labels[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    shown = roots[:, 2] > np.quantile(roots[:, 2], 0.7)
    right = np.isin(labels[shown], (FaceClass.FACIAL_HAIR, FaceClass.NECK))
    assert np.average(right, weights=full.strands.width[shown] ** 2) > 0.93


def test_a_longer_beard_in_the_photos_has_longer_strands(scene: Scene, full: facial_hair.FacialHair) -> None:
    faces = [labelled(face, 24) for face in scene.faces]
    short = grow_facial_hair(scene.template, scene.fitted, faces, painted(scene, DARK))
    lengths = [np.linalg.norm(np.diff(one.strands.points, axis=1), axis=-1).sum(1) for one in (short, full)]
    longest = [np.quantile(each, 0.98) for each in lengths]
    hangs = 40 * 0.9 / scene.fitted.photos[1].camera.intrinsics[1, 1]
    assert 0.006 < longest[0] < 0.7 * longest[1]
    assert longest[1] == pytest.approx(hangs, rel=0.5)


def test_grey_hairs_are_greyer_than_the_beard_with_the_skin_in_it(scene: Scene) -> None:
    """Whatever the texture has: there, a beard is flesh-coloured."""
    grey = np.log(0.2 / TONE)
    faces = [labelled(face, 40, grey) for face in scene.faces]
    for dark in (DARK, 0.0):
        found = grow_facial_hair(scene.template, scene.fitted, faces, painted(scene, dark)).strands.root_colour
        seen, hairs = np.full(3, 0.2), np.median(found, axis=0)
        assert (hairs < seen + 0.02).all() and hairs[0] / hairs[2] < 1.25


@pytest.mark.parametrize("covered", [0.6, 0.75, 0.9])
@pytest.mark.parametrize("hair", [(0.02, 0.017, 0.014), (0.3, 0.27, 0.23), (0.06, 0.03, 0.015)])
def test_skin_between_hairs_does_not_make_them_brown(covered: float, hair: tuple[float, ...]) -> None:
    """A grey moustache came brown, and brows on dark heads ginger, with the skin's ratio of red to green."""
    hue = np.array(hair) / TONE
    places, seen = np.zeros((50, 3)), np.log(covered * hue + 1.0 - covered)
    found = facial_hair._hairs(seen + places, places, places[:4], hue, facial_hair.WHITE / TONE)[0][0] * TONE
    assert found[0] / found[1] == pytest.approx(hair[0] / hair[1], rel=0.15)
    assert found.mean() == pytest.approx(np.mean(hair), abs=0.08)


def test_white_hairs_are_as_yellow_as_keratin() -> None:
    """They were bluish, and grey ones wine where skin shines through in shade."""
    places, white, grey = np.zeros((50, 3)), facial_hair.WHITE / TONE, np.array([0.15, 0.13, 0.115])
    for seen, own in ((3.0, facial_hair.UNKNOWN), (np.array([0.12, 0.05, 0.05]), grey)):
        found = facial_hair._hairs(np.log(seen / TONE) + places, places, places[:4], own / TONE, white)[0][0] * TONE
        assert found[0] > 1.1 * found[2] and found[1] ** 2 > 0.9 * found[0] * found[2]


def test_a_hand_that_is_labelled_as_a_beard_tells_nothing_of_the_chin(scene: Scene) -> None:
    """Fingers were left on the chin's texture."""
    bare, grey = np.full(3, 0.0), np.log(0.2 / TONE)
    for logs, left in (((bare, grey, grey), 2), ((bare, bare - 0.3, None), 0), ((bare - 0.3, grey, grey), 3)):
        faces = [f if log is None else labelled(f, 40, log) for f, log in zip(scene.faces, logs, strict=True)]
        labels = [face.labels for face in without_false_beards(scene.fitted, faces)]
        assert sum((one == FaceClass.FACIAL_HAIR).sum() > 500 for one in labels) == left
        assert sum((one == CONTRADICTED_LABEL).sum() > 500 for one in labels) == 3 - left - (logs[2] is None)


def test_a_beard_nearly_of_the_skins_colour_is_no_hand_where_all_photos_show_it(scene: Scene) -> None:
    """Short grey beards on two of ten people were called hands, and vanished."""
    faces = [labelled(face, 40, np.log([0.93, 1.0, 1.1]) - 0.1) for face in scene.faces]
    assert all((one.labels == FaceClass.FACIAL_HAIR).sum() > 500 for one in without_false_beards(scene.fitted, faces))


def test_what_is_a_hand_or_nothing_to_the_reader_is_no_beard(scene: Scene) -> None:
    """A collar below an old man's chin came as a white goatee; then white beards were none."""
    white = 0.5 * np.log(facial_hair.WHITE / TONE)
    for log, odds, grown in ((np.full(3, 0.2), 0.9, False), (white, 0.99, True), (DARK, 0.1, False), (DARK, 0.9, True)):
        faces, kind = [labelled(face, 40, log) for face in scene.faces], HairKind({"beard": np.array([1 - odds, odds])})
        found = grow_facial_hair(scene.template, scene.fitted, faces, painted(scene, DARK), None, kind)
        assert (found.strands is not None) == grown == ("probably none" not in found.reason)


def test_a_beard_may_reach_the_hair_before_the_ears(scene: Scene) -> None:
    """Its sides stopped at the eyes' height, a finger below the sideburns."""
    surface = head_surface(scene.template)
    cage = scene.fitted.neutral[: surface.count].astype(np.float64)
    face, ears, lids = (surface.regions[name][: surface.count] > 0.5 for name in ("face", "ears", "lids_left"))
    above = cage[:, 1] - np.median(cage[lids, 1])
    sides = face & ~ears & (np.abs(cage[:, 0]) > 0.06) & (above > 0) & (above < 0.01)
    area = facial_hair._beard_area(surface, cage, vertex_normals(cage, surface.cage_triangles))
    assert sides.any() and (area[sides] > 0.4).all()


def test_hairs_are_no_redder_than_skin(scene: Scene) -> None:
    red = [labelled(face, 40, np.array([-0.7, -1.4, -1.4])) for face in scene.faces]
    colour = grow_facial_hair(scene.template, scene.fitted, red, painted(scene, DARK)).strands.root_colour
    assert (colour[:, 0] / colour[:, 1] < 1.02 * TONE[0] / TONE[1]).all()


def test_a_moustache_grows_below_the_nose_too(scene: Scene) -> None:
    faces = []
    for face in scene.faces:
        down, across = np.mgrid[: face.labels.shape[0], : face.labels.shape[1]]
        (middle, nose), lip = face.landmarks[2, :2], face.landmarks[0, 1]
        there = (down > nose + 1) & (down < lip) & (np.abs(across - middle) < 25)
        labels = np.where(there, FaceClass.FACIAL_HAIR, labelled(face, 40).labels).astype(np.uint8)
        faces.append(with_labels(labelled(face, 40), labels))
    roots = grow_facial_hair(scene.template, scene.fitted, faces, painted(scene, DARK)).strands.points[:, 0]
    lips = scene.template.regions["lips"][: scene.template.head.vertex_stop] > 0.5
    away = roots - np.median(scene.fitted.neutral[: len(lips)][lips], axis=0)
    assert ((np.abs(away[:, 0]) < 0.006) & (away[:, 1] > 0.006)).sum() >= 3


def test_a_short_dark_beard_is_strands_of_its_colour_over_skin(scene: Scene) -> None:
    """It was a stain on the skin."""
    faces, albedo = [labelled(face, log=-2.0) for face in scene.faces], painted(scene, 0.0)
    found = grow_facial_hair(scene.template, scene.fitted, faces, albedo)
    long = np.linalg.norm(np.diff(found.strands.points, axis=1), axis=-1).sum(1)
    assert 0.002 < np.median(long) < 0.009 and found.strands.root_colour.mean() < 0.06
    seen = cv2.resize(found.below[..., 3], (SIZE, SIZE)) > 0.95
    for stain in (0, 255):
        albedo[seen] = stain
        assert 0.1 * TONE.mean() < linear_from_srgb(found.uncovered(albedo))[seen].mean() < TONE.mean()


def test_a_beard_that_the_fit_took_for_a_jaw_is_as_long_as_below_a_mean_one(scene: Scene) -> None:
    """It came as a stain: nothing hung below such a jaw."""
    surface, low = head_surface(scene.template), scene.fitted.neutral.copy()
    cage = scene.fitted.neutral[: surface.count]
    chin = surface.regions["chin"][: surface.count] > 0.5
    low[: surface.count][chin, 1] -= 0.009
    mean, lowered = (facial_hair._jaw_too_low(scene.template, surface, one[: len(cage)]) for one in (cage, low))
    assert lowered - mean == pytest.approx(0.009, abs=0.002)


def test_shaved_faces_get_none_and_keep_their_texture(scene: Scene) -> None:
    found = grow_facial_hair(scene.template, scene.fitted, scene.faces, albedo := painted(scene, 0.0))
    assert found.strands is None and found.reason and found.uncovered(albedo) is albedo


def test_joined_hair_has_the_beard_last_and_cards_of_it(full: facial_hair.FacialHair) -> None:
    beard, names = full.strands, ("points", "root_uv", "width", "root_colour", "tip_colour")
    scalp = replace(beard, points=beard.points[:20, ::2], **{name: getattr(beard, name)[:20] for name in names[1:]})
    both = joined(scalp, beard)
    assert both.points.shape == (20 + len(beard.points), scalp.points.shape[1], 3)
    assert both.parameters[FACIAL_GUIDES] == len(beard.points)
    np.testing.assert_allclose(both.points[20:, -1], beard.points[:, -1], atol=1e-6)
    assert joined(None, beard) is beard and joined(scalp, None) is scalp
    many = replace(beard, **{name: np.resize(one := getattr(beard, name), (4000, *one.shape[1:])) for name in names})
    assert len(joined(many, beard).points) == 4096 and joined(many, beard).parameters[FACIAL_GUIDES] == 96
    cards = hair_cards(both)
    assert cards.vertices[:, 1].min() < beard.points[..., 1].min() + 0.005


def test_the_switch_is_on_and_without_it_or_hair_there_is_no_beard(
    scene: Scene, full: facial_hair.FacialHair, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    monkeypatch.setattr("backend.pipeline.grow_facial_hair", lambda *given: told.append(given[-1]) or full)
    skin = SkinPhotos(scene.fitted, tuple(labelled(face, 40) for face in scene.faces), [])
    albedo = painted(scene, DARK)
    texture = AlbedoResult(albedo, np.ones((SIZE, SIZE)), np.zeros(3), np.zeros((1, 2, 3), np.uint8), None)
    for options in (ReconstructOptions(facial_hair=False), ReconstructOptions(hair="none")):
        beard = grow_beard(skin, texture, HairResult(None), None, scene.template, options)
        assert beard.strands is None
    look = SimpleNamespace(kind=HairKind({}))
    assert grow_beard(skin, texture, HairResult(None), look, scene.template, ReconstructOptions()).strands is not None
    assert told == [look.kind]


def test_no_hair_leaves_no_beard_where_other_hair_is_chosen_later(full: facial_hair.FacialHair) -> None:
    head, bald = SimpleNamespace(bust=None), HairResult(None, "The photos show no hair.")
    for hair, grows in (("curves", True), ("none", False)):
        strands = exported_hair(head, bald, full, np.ones(3), ReconstructOptions(facial_hair=True, hair=hair))
        assert (strands is not None) == grows
