"""Photos of a fitted face to its relief, with a small network that nobody trained; what must not become relief."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.detail import find
from backend.detail.skin_detail import KEY_GROUPS
from backend.detail.window import allowed_displacement, detail_window, observe
from backend.errors import Cancelled
from backend.geometry.template import load_template
from backend.models.detail import DetailConfig, DetailModel, DetailNet
from backend.photos.collection import FaceClass
from backend.rig.measure import face_loops
from backend.texture.surface import HeadSurface, head_surface, texels_per_metre, texture_space
from backend.texture.unwrap import chosen_views, with_view

sys.path.append(str(Path(__file__).parents[1] / "texture"))
from texture_scene import Shot, make_scene, with_labels

SMALL = DetailConfig(size=64, coarse=16, widths=(8, 8, 8, 8), patterns=4, regions=4, expression_width=8)


@pytest.fixture(scope="module")
def scene():
    return make_scene([Shot(0.0), Shot(30.0)])


@pytest.fixture(scope="module")
def model() -> DetailModel:
    torch.manual_seed(3)
    return DetailModel(DetailNet(SMALL).eval(), torch.device("cpu"), "made up")


def found(scene, model, **changes) -> find.DetailEstimate:
    photos = chosen_views(head_surface(scene.template), scene.fitted, changes.get("faces", scene.faces))
    return find.find_detail(scene.template, scene.fitted, photos, scene.template.expressions, 512, model)


def test_one_map_that_is_always_there_and_one_for_each_group(scene, model) -> None:
    result = found(scene, model)
    assert result.sentence == "" and set(result.photos) == {"photo0.png", "photo1.png"}
    assert result.detail.always.steps.shape == (512, 512)
    assert tuple(result.detail.wrinkles) == tuple(KEY_GROUPS)
    assert {one.steps.shape[0] for one in result.detail.wrinkles.values()} == {min(512, find.WRINKLE_SIZE)}
    assert any(np.ptp(one.millimetres()) > 0 for one in result.detail.wrinkles.values())
    report = result.to_report()
    assert set(report["depth_mm"]) == {"always", *KEY_GROUPS} and report["photos"] == list(result.photos)


def test_the_report_says_how_deep_lines_are_not_how_deep_a_broad_dent_is() -> None:
    millimetres = np.arange(512.0) * 0.8  # of a map's side, 0.41 m
    waves = np.tile(0.2 * np.sin(2.0 * np.pi * millimetres / 6.4)[:, None], (1, 512))
    broad = 0.2 * np.cos(2.0 * np.pi * (millimetres - 204.8) / 409.6)
    dent = -broad[:, None] * broad / 0.2
    assert find.line_depth(waves, 0.4096) == pytest.approx(0.2, abs=0.05)
    assert find.line_depth(dent, 0.4096) < 0.005 < np.abs(dent).max()
    assert find.line_depth(waves + dent, 0.4096) == pytest.approx(find.line_depth(waves, 0.4096), abs=0.005)
    assert find.NO_DETAIL.to_report() == {"sentence": "", "photos": []}


def test_no_displacement_where_skin_touches_skin(scene, model) -> None:
    window = detail_window(scene.template, 512)
    result = found(scene, model)
    closed = window.image(window.surface.regions["lips"][:, None])[..., 0] > 0.9
    rows, columns = np.nonzero(closed)
    place = (0.1 + 0.8 * (columns + 0.5) / 512) * 512, (0.06 + 0.8 * (rows + 0.5) / 512) * 512
    for one in result.detail.wrinkles.values():
        heights = np.abs(one.millimetres())
        assert heights[place[1].astype(int), place[0].astype(int)].mean() < 0.02 * heights.max()


def test_small_and_soft_photos_give_pores_flat_wrinkles_and_a_sentence(scene, model) -> None:
    soft = [replace(face, quality=replace(face.quality, sharpness=0.1)) for face in scene.faces]
    for result in (found(make_scene([Shot(0.0, size=96)]), model), found(scene, model, faces=soft)):
        assert result.sentence.endswith("use photos with a larger, sharper face.") and result.photos == ()
        assert 0.002 < result.detail.always.millimetres().std() < 0.05, "pores"
        assert all(np.abs(one.millimetres()).max() < 1e-3 for one in result.detail.wrinkles.values())
    one_soft = [soft[0], scene.faces[1]]
    assert found(scene, model, faces=one_soft).photos == ("photo1.png",)


def test_hair_before_the_face_and_beards_are_no_skin(scene) -> None:
    window = detail_window(scene.template, 128)
    face, fit = scene.faces[0], scene.fitted.photos[0]
    bare = find.photo_in_window(window, with_view(window.surface, face, fit)).weight
    labels = np.where(face.labels == FaceClass.SKIN, FaceClass.FACIAL_HAIR, face.labels).astype(np.uint8)
    bearded = find.photo_in_window(window, with_view(window.surface, with_labels(face, labels), fit)).weight
    assert bare[window.allowed > 0.9].mean() > 0.4 > 10 * bearded[window.allowed > 0.9].mean()


def test_it_can_be_cancelled(scene, model) -> None:
    def cancel(stage: str, fraction: float) -> None:
        if fraction > 0:
            raise Cancelled

    photos = chosen_views(head_surface(scene.template), scene.fitted, scene.faces)
    with pytest.raises(Cancelled):
        find.find_detail(scene.template, scene.fitted, photos, scene.template.expressions, 512, model, cancel)


@pytest.fixture(scope="module")
def surface() -> HeadSurface:
    return head_surface(load_template())


def at_cage(surface: HeadSurface, values: np.ndarray) -> np.ndarray:
    """(C,) of values (V,): each at the vertex of the subdivided head that stands for the cage's."""
    return values[np.asarray(surface.lift.argmax(axis=0)).ravel()]


def rims_of_lids() -> np.ndarray:
    """Cage vertices on the lids' edges and on the strip behind them, which lies on the eyeball."""
    eyes = face_loops(load_template()).eyes
    return np.concatenate([eye.rows[eye.margin - 2 : eye.margin + 1].ravel() for eye in eyes])


def test_rims_of_lids_and_ears_are_not_displaced(surface: HeadSurface) -> None:
    allowed = at_cage(surface, allowed_displacement(surface))
    rims = allowed[rims_of_lids()]
    assert rims.mean() < 0.02 and rims.max() < 0.15  # the largest lie in the eyes' corners
    ears = surface.regions["ears"] > 0.6
    assert ears.sum() > 2000 and allowed_displacement(surface)[ears].max() < 0.01
    further = np.concatenate([eye.rows[eye.margin + 3] for eye in face_loops(load_template()).eyes])
    assert allowed[further].min() > 0.9  # and skin beside them is


def test_pores_leave_out_lips_and_rims_of_lids_and_are_faint_on_ears(surface: HeadSurface) -> None:
    space = texture_space(load_template(), 512)
    positions = surface.lifted(load_template().vertices[: surface.count].astype(np.float64))
    heights = np.abs(find.pores(surface, space.skin, texels_per_metre(surface, positions, 512)))
    still = np.zeros(surface.count)
    still[rims_of_lids()] = 1.0
    masks = {name: surface.regions[name] for name in ("lips", "ears", "cheeks")}
    masks["rims"] = surface.lifted(still[:, None])[:, 0]
    mean = {}
    for name, mask in masks.items():
        texels = space.skin.image(space.skin.sample(mask[:, None]))[..., 0] > 0.7
        assert texels.sum() >= 20, name
        mean[name] = heights[texels].mean()
    assert mean["cheeks"] > 0.003
    assert all(mean[name] < 0.03 * mean["cheeks"] for name in ("rims", "lips")), mean
    assert mean["ears"] < 0.3 * mean["cheeks"]


@pytest.mark.parametrize("cover", [FaceClass.HAIR, FaceClass.GLASSES])
def test_strands_and_glasses_before_the_forehead_say_nothing_about_its_skin(cover: FaceClass) -> None:
    """Black stripes over the upper face, which would be strong relief if they passed for skin, as a control shows."""
    scene = make_scene([Shot(0.0)])
    window = detail_window(scene.template, 128)
    face, fit = scene.faces[0], scene.fitted.photos[0]
    on_forehead = (window.image(window.surface.regions["forehead"][:, None])[..., 0] > 0.8) & (window.allowed > 0.9)
    rows, columns = np.nonzero(face.labels == FaceClass.SKIN)
    brow = int(np.median(rows))
    stripes = np.zeros(face.labels.shape, bool)
    stripes[:brow, columns.min() : columns.max()] = True
    stripes &= (np.arange(face.labels.shape[1]) // 6 % 2 == 0)[None]
    pixels = face.pixels.copy()
    pixels[stripes] = 0
    striped = replace(face, pixels=pixels)
    covered = with_labels(striped, np.where(stripes, cover, face.labels).astype(np.uint8))
    bare, unknown, known = (
        find.photo_in_window(window, with_view(window.surface, one, fit)) for one in (face, striped, covered)
    )
    assert bare.weight[on_forehead].mean() > 0.5 > 10 * known.weight[on_forehead].mean()
    found = {
        name: np.abs(observe(photo, 387.0)[0][on_forehead]).max()
        for name, photo in {"unknown": unknown, "known": known}.items()
    }
    assert found["unknown"] > 0.4 > 2 * found["known"], found
