"""Pictures of faces for the detail network's losses, and portraits whose relief nobody knows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.detail.window import ORIGIN, SIDE, PhotoInWindow, colour_detail, detail_window, shading_and_gradient
from backend.geometry.template import load_template
from trainer.methods.detail.data import (
    DetailPeopleConfig,
    DetailPortraitsConfig,
    picture_coordinates,
    pictures_of,
    projected,
)
from trainer.methods.graph_face.albedo import head_people
from trainer.people.mixtures import PeopleAndPortraitsConfig

CPU = torch.device("cpu")
SIZE, TEXELS = 96, 128


def frontal_pixels() -> np.ndarray:
    template = load_template()
    surface = detail_window(template, TEXELS).surface
    positions = surface.lifted(template.vertices[: surface.count].astype(np.float64))
    return projected(positions, np.eye(3), SIZE)


def stained_photo() -> tuple[PhotoInWindow, float]:
    """Even skin under light from above, with a dark stain three millimetres wide; and texels per metre."""
    window = detail_window(load_template(), TEXELS)
    normals = np.zeros((TEXELS, TEXELS, 3), np.float32)
    normals[...] = np.array([0.0, 0.2, 1.0]) / np.hypot(0.2, 1.0)
    normals[..., 1] += np.linspace(-0.3, 0.3, TEXELS)[:, None]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    light = np.zeros((9, 3))
    light[0], light[1] = 3.0, 0.5
    log_linear = np.log(0.3 * shading_and_gradient(normals, light)[0])[..., None].repeat(3, -1)
    stain = np.zeros((TEXELS, TEXELS), np.float32)
    stain[60:62, 60:62] = -0.4
    weight = np.ones((TEXELS, TEXELS), np.float32)
    weight[:, :10] = 0.0
    across = np.zeros((TEXELS, TEXELS, 2, 3))
    photo = PhotoInWindow(
        (log_linear + stain[..., None]).astype(np.float32), weight, normals, across, light, pixels_per_metre=2000.0
    )
    return photo, float(window.size / 0.3)


def test_detail_is_what_smooth_shading_and_smooth_colours_do_not_explain() -> None:
    photo, density = stained_photo()
    detail = colour_detail(photo, density)
    assert detail[60:62, 60:62].mean() < -0.3
    detail[50:72, 50:72] = 0.0
    assert np.abs(detail).max() < 0.02
    assert not detail[:, :10].any(), "nothing is known where no skin is seen"


def test_each_pixel_knows_its_texel() -> None:
    template = load_template()
    window = detail_window(template, TEXELS)
    surface, pixels = window.surface, frontal_pixels()
    where = picture_coordinates(window, pixels, SIZE)
    inside = (where.places[..., 0] < 1.5) == where.shown
    assert inside.all() and 0.3 < where.shown.mean() < 0.9
    uv = np.zeros((len(pixels), 2))
    uv[surface.triangles[surface.main]] = surface.uv[surface.uv_triangles[surface.main]]
    forehead = np.flatnonzero(surface.regions["forehead"] > 0.9)
    column, row = np.floor(pixels[forehead, :2]).astype(int).T
    keep = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    found = where.places[row[keep], column[keep]]
    wanted = 2.0 * (uv[forehead[keep]] - np.array(ORIGIN)) / SIDE - 1.0
    wanted[:, 1] *= -1.0
    apart = np.abs(found - wanted).max(1)
    assert keep.sum() > 100 and np.median(apart) < 2.0 / SIZE  # a pixel, in halves of the window


def test_the_coarse_picture_lacks_the_detail_and_nothing_else() -> None:
    window = detail_window(load_template(), TEXELS)
    photo, density = stained_photo()
    where = picture_coordinates(window, frontal_pixels(), SIZE)
    cut = np.random.default_rng(0).integers(60, 200, (SIZE, SIZE, 3)).astype(np.uint8)
    pictures = pictures_of(photo, window, density, where, cut)
    given = torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(pictures.photos, given, atol=1e-4, rtol=0)
    unknown = pictures.mask.expand_as(given) == 0
    torch.testing.assert_close(pictures.coarse[unknown], given[unknown], atol=1e-4, rtol=0)
    assert pictures.mask.max() == 1.0 and pictures.mask.mean() > 0.2
    own = pictures_of(photo, window, density, where)
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


@pytest.mark.usefixtures("one_thread")
def test_a_portrait_has_no_truth_and_its_picture(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    portraits = DetailPortraitsConfig(folder=str(folder), size=64, coarse=16, picture=64, least_pixels=200.0)
    source = portraits.build()
    assert len(source) == 1, "there is one face in the folder"
    batch = source.batch(range(2), CPU)
    assert batch.has_truth.tolist() == [False, False] and not batch.displacement.any()
    assert batch.person.tolist() == [0, 1] and torch.equal(batch.photos[0], batch.photos[1])
    pictures = batch.pictures
    assert pictures.mask[0].mean() > 0.1 and pictures.mask[0].max() <= 1.0
    changed = (pictures.photos - pictures.coarse).abs()[0].mean(0)
    assert changed[pictures.mask[0, 0] > 0.9].mean() > 5 * changed[pictures.mask[0, 0] == 0].mean()
    people = DetailPeopleConfig(size=64, coarse=16, photos=1, picture=64)
    both = PeopleAndPortraitsConfig(people=people, portraits=portraits, shares=(2, 1)).build().batch(range(3), CPU)
    assert both.has_truth.tolist() == [True, True, False] and both.person.tolist() == [0, 1, 2]
    assert torch.equal(both.pictures.photos[2], pictures.photos[0]) and both.displacement.shape[0] == 9
