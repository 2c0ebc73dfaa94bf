"""Synthetic skin whose relief has a cause, and pictures of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.detail import window as window_module
from backend.detail.skin_detail import group_weights
from backend.geometry.template import load_template
from trainer.methods.detail import data
from trainer.methods.detail.relief import Relief, ReliefParameters, cause, draw_shot, take_photo
from trainer.methods.graph_face.albedo import head_people
from trainer.people.mixtures import MixedConfig
from trainer.people.scene import draw_light

SIZE = 256
CPU = torch.device("cpu")
SIZE_of_detail_pictures, TEXELS = 96, 128


def strain_of(group: str | None) -> np.ndarray:
    template, known = load_template(), cause(SIZE)
    surface = known.window.surface
    moved = template.vertices.copy()
    if group is not None:
        moved += np.einsum("k,kvc->vc", group_weights(group), template.expressions)
    cages = (template.vertices[: surface.count], moved[: surface.count])
    rest, posed = (known.window.frames(surface.lifted(cage.astype(np.float64))) for cage in cages)
    return known.smoothed(known.window.image(window_module.vertex_strain(rest, posed)))


def skin(**changes: float) -> ReliefParameters:
    numbers = {"age": 0.5, "depth": 0.4, "stays": 0.0, "wavelength": (6.0,) * 9, "sharpness": 1.0, "fold": 0.0}
    return ReliefParameters(**(numbers | {"bag": 0.0, "pores": 0.0, "moles": 0, "seed": 3} | changes))


def test_young_skin_is_flat_at_rest_and_folds_across_the_forehead_when_brows_go_up() -> None:
    relief, known = Relief(skin(), SIZE), cause(SIZE)
    assert np.abs(relief.displacement(strain_of(None))).max() == 0.0
    raised = relief.displacement(strain_of("brows_up"))
    regions = known.window.surface.regions
    masks = {name: known.window.image(regions[name][:, None])[..., 0] > 0.7 for name in ("forehead", "chin")}
    assert raised[masks["forehead"]].std() > 0.03 > 10 * raised[masks["chin"]].std()
    down, across = np.gradient(raised)
    assert np.square(down[masks["forehead"]]).sum() > 2 * np.square(across[masks["forehead"]]).sum()  # lines lie


def test_lines_end_at_the_hair_line_where_skin_goes_on() -> None:
    known = cause(SIZE)
    above = (known.painted["scalp"] > 0.5) & (known.window.allowed > 0.5)
    forehead = known.window.image(known.window.surface.regions["forehead"][:, None])[..., 0] > 0.9
    assert above.sum() > 100 and known.most[0][above].max() > 0.1  # there is skin, which raised brows press together
    raised = Relief(skin(depth=1.0, stays=0.6), SIZE).displacement(strain_of("brows_up"))
    assert np.abs(raised[above]).max() < 0.02 < 0.1 < raised[forehead].std()


def test_brows_are_no_skin_in_photos_as_in_the_product() -> None:
    known = cause(SIZE)
    brows = known.window.image(known.window.surface.regions["brows"][:, None])[..., 0] > 0.6
    forehead = known.window.image(known.window.surface.regions["forehead"][:, None])[..., 0] > 0.9
    weight = data.DetailPeopleConfig(size=SIZE, coarse=64, seed=9).build().person(0).photos[:, 5].numpy()
    assert weight[:, brows].max() == 0.0 and weight[:, forehead].max() > 0.9


def test_photos_show_the_relief_where_the_light_comes_from_the_side() -> None:
    known, weights = cause(SIZE), group_weights("brows_up")
    template = load_template()
    surface = known.window.surface
    moved = template.vertices + np.einsum("k,kvc->vc", weights, template.expressions)
    frames = known.window.frames(surface.lifted(moved[: surface.count].astype(np.float64)))
    height = Relief(skin(depth=0.6), SIZE).displacement(strain_of("brows_up"))
    lamp = replace(draw_light(np.random.default_rng(1)), directions=np.array([[0.0, 0.94, 0.34]] * 3, np.float32))
    shot = draw_shot(np.random.default_rng(2))
    shot = replace(shot, towards=np.array([0, 0, 1.0]), turn=np.eye(3), light=lamp, noise=0.0, quality=0, shadow=0.0)
    shot = replace(shot, slip=0.0, covered=0, light_error=0.0, pixels_per_metre=5000.0, exposure=1.0)
    clay = np.full((SIZE, SIZE, 3), 0.4, np.float32)
    photo = window_module.observe(take_photo(known, frames, height, clay, 0.0, shot), known.density)
    down, across = np.gradient(height)
    shown = -(photo[3] * across + photo[4] * down)
    forehead = known.window.image(surface.regions["forehead"][:, None])[..., 0] > 0.8
    assert np.corrcoef(shown[forehead], photo[0][forehead])[0, 1] > 0.7
    assert photo[0][forehead].std() > 0.05


def test_freckles_change_the_photos_and_not_the_relief() -> None:
    marked, plain = (
        data.DetailPeopleConfig(size=64, coarse=16, seed=7, colours=colours).build().person(0)
        for colours in ("marked", "plain")
    )
    torch.testing.assert_close(marked.displacement, plain.displacement)
    assert (marked.photos[0, 0] - plain.photos[0, 0]).abs().mean() > 0.005


def frontal_pixels() -> np.ndarray:
    template = load_template()
    surface = window_module.detail_window(template, TEXELS).surface
    positions = surface.lifted(template.vertices[: surface.count].astype(np.float64))
    return data.projected(positions, np.eye(3), SIZE_of_detail_pictures)


def stained_photo() -> tuple[window_module.PhotoInWindow, float]:
    """Even skin under light from above, with a dark stain three millimetres wide; and texels per metre."""
    window = window_module.detail_window(load_template(), TEXELS)
    normals = np.zeros((TEXELS, TEXELS, 3), np.float32)
    normals[...] = np.array([0.0, 0.2, 1.0]) / np.hypot(0.2, 1.0)
    normals[..., 1] += np.linspace(-0.3, 0.3, TEXELS)[:, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    light = np.zeros((9, 3))
    light[0], light[1] = 3.0, 0.5
    log_linear = np.log(0.3 * window_module.shading_and_gradient(normals, light)[0])[..., None].repeat(3, -1)
    stain = np.zeros((TEXELS, TEXELS), np.float32)
    stain[60:62, 60:62] = -0.4
    weight = np.ones((TEXELS, TEXELS), np.float32)
    weight[:, :10] = 0.0
    across = np.zeros((TEXELS, TEXELS, 2, 3))
    photo = window_module.PhotoInWindow(
        (log_linear + stain[..., None]).astype(np.float32), weight, normals, across, light, pixels_per_metre=2000.0
    )
    return photo, float(window.size / 0.3)


def test_detail_is_what_smooth_shading_and_smooth_colours_do_not_explain() -> None:
    photo, density = stained_photo()
    detail = window_module.colour_detail(photo, density)
    assert detail[60:62, 60:62].mean() < -0.3
    detail[50:72, 50:72] = 0.0
    assert np.abs(detail).max() < 0.02
    assert not detail[:, :10].any(), "nothing is known where no skin is seen"


def test_each_pixel_knows_its_texel() -> None:
    template = load_template()
    window = window_module.detail_window(template, TEXELS)
    surface, pixels = window.surface, frontal_pixels()
    where = data.picture_coordinates(window, pixels, SIZE_of_detail_pictures)
    inside = (where.places[..., 0] < 1.5) == where.shown
    assert inside.all() and 0.3 < where.shown.mean() < 0.9
    uv = np.zeros((len(pixels), 2))
    uv[surface.triangles[surface.main]] = surface.uv[surface.uv_triangles[surface.main]]
    forehead = np.flatnonzero(surface.regions["forehead"] > 0.9)
    column, row = np.floor(pixels[forehead, :2]).astype(int).T
    keep = (column >= 0) & (column < SIZE_of_detail_pictures) & (row >= 0) & (row < SIZE_of_detail_pictures)
    found = where.places[row[keep], column[keep]]
    wanted = 2.0 * (uv[forehead[keep]] - np.array(window_module.ORIGIN)) / window_module.SIDE - 1.0
    wanted[:, 1] *= -1.0
    apart = np.abs(found - wanted).max(1)
    assert keep.sum() > 100 and np.median(apart) < 2.0 / SIZE_of_detail_pictures  # a pixel, in halves of the window


def test_the_coarse_picture_lacks_the_detail_and_nothing_else() -> None:
    window = window_module.detail_window(load_template(), TEXELS)
    photo, density = stained_photo()
    where = data.picture_coordinates(window, frontal_pixels(), SIZE_of_detail_pictures)
    cut = (
        np.random.default_rng(0)
        .integers(60, 200, (SIZE_of_detail_pictures, SIZE_of_detail_pictures, 3))
        .astype(np.uint8)
    )
    pictures = data.pictures_of(photo, window, density, where, cut)
    given = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(pictures.photos, given, atol=1e-4, rtol=0)
    unknown = pictures.mask.expand_as(given) == 0
    torch.testing.assert_close(pictures.coarse[unknown], given[unknown], atol=1e-4, rtol=0)
    assert pictures.mask.max() == 1.0 and pictures.mask.mean() > 0.2
    own = data.pictures_of(photo, window, density, where)
    brighter = (own.coarse - own.photos)[0, 0]
    assert brighter.max() > 0.03 and (brighter > 0.01).float().mean() < 0.02, "the stain is gone"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture without a face, and a synthetic person's face."""
    made = tmp_path_factory.mktemp("portraits")
    picture = head_people(256, 3, 1).batch(range(1), CPU).images[0].permute(1, 2, 0).numpy()
    cv2.imwrite(str(made / "0_wall.jpg"), np.full((300, 300, 3), 128, np.uint8))
    cv2.imwrite(str(made / "1_person.jpg"), (picture * 255).round().astype(np.uint8)[..., ::-1])
    return made


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_portrait_has_no_truth_and_its_picture(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    portraits = data.DetailPortraitsConfig(folder=str(folder), size=64, coarse=16, picture=64, least_pixels=200.0)
    source = portraits.build()
    assert len(source) == 1, "there is one face in the folder"
    batch = source.batch(range(2), CPU)
    assert batch.has_truth.tolist() == [False, False] and not batch.displacement.any()
    assert batch.person.tolist() == [0, 1] and torch.equal(batch.photos[0], batch.photos[1])
    pictures = batch.pictures
    assert pictures.mask[0].mean() > 0.1 and pictures.mask[0].max() <= 1.0
    changed = (pictures.photos - pictures.coarse).abs()[0].mean(0)
    assert changed[pictures.mask[0, 0] > 0.9].mean() > 5 * changed[pictures.mask[0, 0] == 0].mean()
    people = data.DetailPeopleConfig(size=64, coarse=16, photos=1, picture=64)
    both = MixedConfig(sources=(people, portraits), shares=(2, 1)).build().batch(range(3), CPU)
    assert both.has_truth.tolist() == [True, True, False] and both.person.tolist() == [0, 1, 2]
    assert torch.equal(both.pictures.photos[2], pictures.photos[0]) and both.displacement.shape[0] == 9
