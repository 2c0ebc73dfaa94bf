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
from backend.texture.unwrap import PhotoSamples
from trainer.evaluate import textures
from trainer.evaluate.textures import HeldOutPhoto, fit_light, held_out_photo, texture_figures
from trainer.measures.estimate import FittedPerson

sys.path.append(str(Path(__file__).parents[2] / "backend" / "texture"))
from texture_scene import Shot, make_scene, soft_light


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
