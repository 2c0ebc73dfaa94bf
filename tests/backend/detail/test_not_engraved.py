"""What must not become relief: contact of lids, lips and ears, strands of hair, glasses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.detail.find import photo_in_window, pores
from backend.detail.window import allowed_displacement, detail_window, observe
from backend.geometry.template import load_template
from backend.photos.collection import FaceClass
from backend.rig.measure import face_loops
from backend.texture.surface import HeadSurface, head_surface, texels_per_metre, texture_space
from backend.texture.unwrap import with_view

sys.path.append(str(Path(__file__).parents[1] / "texture"))
from texture_scene import Shot, make_scene, with_labels


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
    heights = np.abs(pores(surface, space.skin, texels_per_metre(surface, positions, 512)))
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
        photo_in_window(window, with_view(window.surface, one, fit)) for one in (face, striped, covered)
    )
    assert bare.weight[on_forehead].mean() > 0.5 > 10 * known.weight[on_forehead].mean()
    found = {
        name: np.abs(observe(photo, 387.0)[0][on_forehead]).max()
        for name, photo in {"unknown": unknown, "known": known}.items()
    }
    assert found["unknown"] > 0.4 > 2 * found["known"], found
