"""Made faces of known albedo: what the figures of a photo that is left out say of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from backend.errors import LikenessError
from backend.photos.collection import FaceClass
from backend.rendering import spherical_harmonics as sh
from backend.texture.surface import SurfaceAtlas
from backend.texture.unwrap import PhotoSamples
from trainer.evaluate import textures
from trainer.evaluate.textures import HeldOutPhoto, fit_light, held_out_photo, texture_figures
from trainer.measures.estimate import FittedPerson

sys.path.append(str(Path(__file__).parents[2] / "backend" / "texture"))
from texture_scene import Shot, make_scene, soft_light

ATLAS_SIDE, DENSITY = 128, 1000.0  # texels, per metre


def plane() -> SurfaceAtlas:
    """Every texel of a square is covered."""
    count = ATLAS_SIDE * ATLAS_SIDE
    triangles, middle = np.zeros((1, 3), np.int32), np.ones((count, 3), np.float32) / 3
    return SurfaceAtlas(ATLAS_SIDE, np.arange(count), triangles, np.zeros(count, np.int32), middle)


def waves(length: float) -> np.ndarray:
    """(P, 3) log light that goes up and down by 0.1 along the rows, over ``length`` metres."""
    rows = np.indices((ATLAS_SIDE, ATLAS_SIDE))[0].ravel()
    return np.repeat(0.1 * np.sin(2 * np.pi * rows / (length * DENSITY))[:, None], 3, axis=1)


def test_ratios_are_those_of_linear_light():
    brightness, red_green, green_blue = textures.log_ratios(np.log([[0.4, 0.2, 0.1]]))[0]
    assert brightness == pytest.approx(np.log(0.2126 * 0.4 + 0.7152 * 0.2 + 0.0722 * 0.1), abs=1e-3)
    assert (red_green, green_blue) == pytest.approx((np.log(2), np.log(2)))


def test_a_texture_that_is_brighter_and_redder_everywhere():
    photo = np.log(np.random.default_rng(1).uniform(0.1, 0.5, (200, 3)))
    made = photo + np.log([2.0, 1.5, 1.5])
    weight = np.ones(200)
    middle, apart = textures.difference_of(made, photo, weight)
    assert np.log(1.5) < middle[0] < np.log(2)
    assert middle[1:] == pytest.approx((np.log(2 / 1.5), 0.0), abs=1e-9)
    assert textures.spread_about(apart, middle)["red_green"] == pytest.approx(0.0, abs=1e-9)


def test_what_the_photo_does_not_show_does_not_count():
    photo = np.zeros((4, 3))
    made = np.array([0.0, 0.0, 0.3, 9.0])[:, None] * np.ones(3)
    middle, apart = textures.difference_of(made, photo, np.array([1.0, 1.0, 1.0, 0.0]))
    assert textures.spread_about(apart, middle)["brightness"] == pytest.approx(0.1)
    assert textures.difference_of(made, photo, np.array([0.0, 0.0, 1.0, 0.0]))[0][0] == pytest.approx(0.3)


def test_details_with_half_the_contrast():
    photo = waves(0.02)
    contrast, correlation = textures.detail_likeness(0.5 * photo, photo, np.ones(len(photo)), plane(), DENSITY)
    assert (contrast, correlation) == pytest.approx((0.5, 1.0), abs=0.01)
    assert textures.detail_likeness(-photo, photo, np.ones(len(photo)), plane(), DENSITY)[1] == pytest.approx(
        -1.0, abs=0.01
    )


def test_light_and_noise_are_no_details():
    photo, weight = waves(0.02), np.ones(ATLAS_SIDE * ATLAS_SIDE)
    noise = 0.1 * np.random.default_rng(2).normal(size=(ATLAS_SIDE * ATLAS_SIDE, 1))
    for other in (waves(0.128), noise):
        contrast, correlation = textures.detail_likeness(photo + other, photo, weight, plane(), DENSITY)
        assert contrast == pytest.approx(1.0, abs=0.1)
        assert correlation > 0.95


def test_light_is_found_from_a_wrong_start() -> None:
    normals = np.asarray(trimesh.creation.icosphere(4).vertices)
    front, skin = normals[:, 2] > 0.2, np.array([0.5, 0.3, 0.2])
    warm = 0.8 * np.array([[1.1, 1.0, 0.85]])
    truth, start = (
        sh.light_from_directions(np.array([way]) / np.linalg.norm(way), warm, 0.4)
        for way in ((0.7, 0.3, 0.6), (-0.6, 0.2, 0.7))
    )
    transfer = sh.basis(normals)
    linear = skin * (transfer @ truth)
    linear[::17] *= 3.0  # highlights
    samples = PhotoSamples(linear, front.astype(float), transfer, start, 1.0, False)
    found = fit_light(samples, np.broadcast_to(skin, normals.shape), start, iterations=12)
    ratio = (transfer @ found)[front] / (transfer @ truth)[front]
    assert np.abs(ratio - 1.0).max() < 0.2
    assert np.abs(ratio - 1.0).mean() < 0.05


@pytest.fixture(scope="module")
def held_out() -> HeldOutPhoto:
    scene = make_scene([Shot(0.0), Shot(12.0, soft_light(-0.4)), Shot(25.0, soft_light(-0.2)), Shot(-25.0)])
    return held_out_photo(scene.template, scene.fitted, scene.faces, scene.faces[1].name)


def test_a_texture_that_is_right_is_like_the_photo_left_out(held_out):
    figures = texture_figures(held_out)
    assert figures["skin.brightness"] < 0.06 and figures["skin.red_green"] < 0.03
    assert all(abs(figures[f"{name}.brightness_offset"]) < 0.1 for name in ("forehead", "cheeks", "chin", "lips"))
    assert 0.85 < figures["detail.contrast"] < 1.15 and figures["detail.correlation"] > 0.9


def test_lips_that_are_too_dark_and_too_red_are_found(held_out):
    lips = held_out.unwrap.labels == FaceClass.LIPS
    made = held_out.made + lips[:, None] * np.array([-0.2, -0.6, -0.6])
    before, after = (texture_figures(photo) for photo in (held_out, replace(held_out, made=made)))
    assert after["lips.red_green_offset"] - before["lips.red_green_offset"] == pytest.approx(0.4, abs=0.02)
    assert -0.6 < after["lips.brightness_offset"] - before["lips.brightness_offset"] < -0.3
    assert after["cheeks.brightness_offset"] == pytest.approx(before["cheeks.brightness_offset"], abs=1e-5)


def test_skin_that_no_other_photo_shows_has_a_figure_of_its_own(held_out):
    assert "unseen.brightness" not in texture_figures(replace(held_out, covered=np.ones_like(held_out.covered)))
    hidden = np.arange(len(held_out.made)) % 2 == 0  # every second texel
    wrong = replace(held_out, covered=np.where(hidden, 0.0, 1.0), made=held_out.made + 0.4 * hidden[:, None])
    right = replace(held_out, covered=wrong.covered)
    found, before = (texture_figures(one)["unseen.brightness"] for one in (wrong, right))
    assert before < 0.06
    assert 0.12 < found - before < 0.45


def test_a_photo_that_shows_no_bare_skin_has_no_figures(held_out):
    assert texture_figures(replace(held_out, bare=np.zeros_like(held_out.bare))) is None


def test_a_photo_without_bare_skin_spoils_nobody_elses_figures(monkeypatch):
    shown = iter([None, {"skin.brightness": 0.4}, None, None])
    person = FittedPerson(None, (), ("a.jpg", "b.jpg"))
    monkeypatch.setattr(textures, "fitted_person", lambda *_: person)
    monkeypatch.setattr(textures, "held_out_photo", lambda *_: None)
    monkeypatch.setattr(textures, "texture_figures", lambda _: next(shown))
    mean = textures.person_figures((), "fast", 2)
    assert mean == {"skin.brightness": 0.4}, "of the photo that shows some"
    with pytest.raises(LikenessError, match="None of the 2 photos"):
        textures.person_figures((), "fast", 2)


def test_a_photo_in_black_and_white_says_nothing_of_colour(held_out):
    figures = texture_figures(replace(held_out, monochrome=True))
    assert "skin.red_green" not in figures and "lips.red_green_offset" not in figures
    assert {"skin.brightness", "lips.brightness_offset", "detail.contrast"} <= set(figures)
