"""Made faces of known albedo: what the figures of a photo that is left out say of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.photos.collection import FaceClass
from trainer.evaluate import textures
from trainer.evaluate.held_out import FittedPerson, HeldOutPhoto, held_out_photo
from trainer.evaluate.textures import ColourDifference, TextureFigures, flat_figures, mean_figures, texture_figures

sys.path.append(str(Path(__file__).parents[2] / "backend" / "texture"))
from texture_scene import Shot, make_scene, soft_light


@pytest.fixture(scope="module")
def held_out() -> HeldOutPhoto:
    scene = make_scene([Shot(0.0), Shot(12.0, soft_light(-0.4)), Shot(25.0, soft_light(-0.2)), Shot(-25.0)])
    return held_out_photo(scene.template, scene.fitted, scene.faces, scene.faces[1].name)


def figures_of(brightness: float, red: float = 0.0, **offsets: float) -> TextureFigures:
    shown = {name: ColourDifference(value, 0.0, 0.0) for name, value in offsets.items()}
    difference = ColourDifference(brightness, red, 0.0)
    return TextureFigures(difference, shown, 1.0, 0.5, difference)


def test_a_texture_that_is_right_is_like_the_photo_left_out(held_out):
    figures = texture_figures(held_out)
    assert figures.skin.brightness < 0.06 and figures.skin.red_green < 0.03
    assert all(abs(figures.offsets[name].brightness) < 0.1 for name in ("forehead", "cheeks", "chin", "lips"))
    assert 0.85 < figures.contrast < 1.15 and figures.correlation > 0.9


def test_lips_that_are_too_dark_and_too_red_are_found(held_out):
    lips = held_out.unwrap.labels == FaceClass.LIPS
    made = held_out.made + lips[:, None] * np.array([-0.2, -0.6, -0.6])
    before, after = (texture_figures(photo).offsets for photo in (held_out, replace(held_out, made=made)))
    assert after["lips"].red_green - before["lips"].red_green == pytest.approx(0.4, abs=0.02)
    assert -0.6 < after["lips"].brightness - before["lips"].brightness < -0.3
    assert after["cheeks"].brightness == pytest.approx(before["cheeks"].brightness, abs=1e-5)


def test_skin_that_no_other_photo_shows_has_a_figure_of_its_own(held_out):
    assert np.isnan(texture_figures(replace(held_out, covered=np.ones_like(held_out.covered))).unseen.brightness)
    hidden = np.arange(len(held_out.made)) % 2 == 0  # every second texel
    wrong = replace(held_out, covered=np.where(hidden, 0.0, 1.0), made=held_out.made + 0.4 * hidden[:, None])
    right = replace(held_out, covered=wrong.covered)
    found, before = texture_figures(wrong).unseen, texture_figures(right).unseen
    assert before.brightness < 0.06
    assert 0.12 < found.brightness - before.brightness < 0.45


def test_a_photo_that_shows_no_bare_skin_has_no_figures(held_out):
    assert texture_figures(replace(held_out, bare=np.zeros_like(held_out.bare))) is None


def test_a_photo_without_bare_skin_spoils_nobody_elses_figures(monkeypatch):
    shown = iter([None, figures_of(0.4), None, None])
    person = FittedPerson(None, (), ("a.jpg", "b.jpg"))
    monkeypatch.setattr(textures, "fitted_person", lambda *_: person)
    monkeypatch.setattr(textures, "held_out_photo", lambda *_: None)
    monkeypatch.setattr(textures, "texture_figures", lambda _: next(shown))
    mean = textures.person_figures((), "fast", 2)
    assert mean.skin.brightness == pytest.approx(0.4), "of the photo that shows some"
    with pytest.raises(LikenessError, match="None of the 2 photos"):
        textures.person_figures((), "fast", 2)


def test_a_photo_in_black_and_white_says_nothing_of_colour(held_out):
    figures = texture_figures(replace(held_out, monochrome=True))
    assert np.isnan(figures.skin.red_green) and not np.isnan(figures.skin.brightness)
    flat = flat_figures(figures, "textures.")
    assert "textures.skin.red_green" not in flat and "textures.lips.brightness_offset" in flat


def test_the_mean_is_over_the_photos_that_show_a_thing():
    mean = mean_figures([figures_of(0.1, np.nan, lips=0.2), figures_of(0.3, 0.2, lips=0.4, brows=0.1)])
    assert (mean.skin.brightness, mean.skin.red_green) == pytest.approx((0.2, 0.2))
    assert mean.offsets["lips"].brightness == pytest.approx(0.3)
    assert mean.offsets["brows"].brightness == pytest.approx(0.1)
