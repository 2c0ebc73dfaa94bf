"""Hair that is known, before made-up cameras: what the figures of a photo that is left out say of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo
from rich.console import Console

from backend.errors import LikenessError
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import Template, load_template, triangles_from_quads
from backend.geometry.vectors import vertex_normals
from backend.hair.draw import DRAWN, draw_hair, finished_hairs
from backend.hair.fit_hair import HairResult
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_views import closed_head
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import srgb_bytes
from backend.rendering.spherical_harmonics import light_from_directions
from trainer.evaluate import hair
from trainer.evaluate.hair import hair_tone, held_out_hair, strands_inside

sys.path.append(str(Path(__file__).parents[2] / "backend" / "hair"))
from made_hair import SIDE, camera, grown, made_view
from made_strands import made_strands

YAWS = (-30.0, 0.0, 25.0)
LEFT_OUT = "1.jpg"


@pytest.fixture(scope="module")
def template() -> Template:
    return load_template()


def person(template: Template, style: str | None) -> tuple[FittedFace, list[PhotoFace]]:
    """A fit and photos of the mean head with the hair of a style, bald without one; a square of skin below it."""
    photos, faces = [], []
    for k, yaw in enumerate(YAWS):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        labels[50:70, 46:66] = FaceClass.SKIN
        labels[made_view(template, yaw, style).hair > 0.5] = FaceClass.HAIR
        name = f"{k}.jpg"
        photos.append(FittedPhoto(name, camera(yaw), np.zeros(52), template.vertices, np.zeros((9, 3)), 1.0, 0.1))
        pixels = np.full((SIDE, SIDE, 3), 90, np.uint8)
        faces.append(plain_photo((SIDE, SIDE), name=name, pixels=pixels, labels=labels, yaw_degrees=yaw))
    head = np.zeros((template.head.vertex_stop, 3), np.float32)
    return FittedFace(np.zeros(1), template.vertices, head, tuple(photos)), faces


def strands(template: Template, style: str) -> HairStrands:
    """The middle lines of a style's locks."""
    lines = grown(template, style)
    colours = np.zeros((len(lines), 3), np.float32)
    return HairStrands(
        points=lines,
        root_uv=np.zeros((len(lines), 2), np.float32),
        width=np.full(len(lines), 0.001, np.float32),
        root_colour=colours,
        tip_colour=colours,
        hair_radius=4e-5,
        style="bob",
        parameters={},
    )


def test_hair_that_is_right_is_like_the_photo_left_out_and_the_fit_never_sees_that(template: Template) -> None:
    fitted, faces = person(template, "bob")
    seen = []

    def fit(_: Template, others: FittedFace, other_faces: list[PhotoFace]) -> HairResult:
        seen.append({photo.name for photo in others.photos} | {face.name for face in other_faces})
        return HairResult(strands(template, "bob"))

    figures = held_out_hair(template, fitted, faces, LEFT_OUT, fit=fit)
    assert seen == [{"0.jpg", "2.jpg"}]
    assert figures["overlap"] > 0.85 and figures["seen_overlap"] > 0.85
    assert figures["missed"] < 0.1 and figures["beside"] < 0.1 and figures["found"] == 1
    assert figures["cap_overlap"] < figures["overlap"] - 0.1, "short hair instead of a bob"
    assert figures["gain"] == pytest.approx(figures["overlap"] - figures["cap_overlap"])
    assert figures["in_skull"] < 0.03


def test_hair_that_hangs_before_the_face_is_found(template: Template) -> None:
    fitted, faces = person(template, "crew")
    curtain = strands(template, "crew")
    hanging = curtain.points.copy()
    hanging[..., 1] -= np.linspace(0.0, 0.12, hanging.shape[1], dtype=np.float32)
    hanging[..., 2] += 0.05
    before, after = (
        held_out_hair(template, fitted, faces, LEFT_OUT, fit=lambda *_, one=one: HairResult(one))
        for one in (curtain, replace(curtain, points=hanging))
    )
    assert before["face_hidden"] < 0.05 and after["face_hidden"] > 0.3
    assert after["beside"] > before["beside"] + 0.1 and after["overlap"] < before["overlap"]


def test_hair_that_was_not_found_draws_nothing(template: Template) -> None:
    fitted, faces = person(template, "crew")
    figures = held_out_hair(
        template, fitted, faces, LEFT_OUT, fit=lambda *_: HairResult(None, "The photos show no hair.")
    )
    assert [figures[name] for name in ("overlap", "missed", "found", "face_hidden")] == [0, 1, 0, 0]
    assert np.isnan(figures["beside"]) and "in_skull" not in figures
    bald, faces = person(template, None)
    none = held_out_hair(template, bald, faces, LEFT_OUT, fit=lambda *_: HairResult(None, "The photos show no hair."))
    assert np.isnan(none["overlap"]), "no hair in either"
    assert none["cap_overlap"] == 0


def test_strands_in_the_skull_and_in_the_ears_are_counted(template: Template) -> None:
    count = template.head.vertex_stop
    head = template.vertices[:count].astype(np.float64)
    normals = vertex_normals(head, triangles_from_quads(template.quads[: template.head.face_stop]))
    scalp = np.flatnonzero((template.regions["scalp"][:count] > 0.9) & (template.regions["ears"][:count] < 0.01))

    def shifted(vertices: np.ndarray, metres: float) -> np.ndarray:
        """Strands (G, 4, 3) that are one point each, under the skin."""
        return np.repeat((head[vertices] - metres * normals[vertices])[:, None], 4, axis=1).astype(np.float32)

    assert strands_inside(shifted(scalp, 0.005), template, template.vertices)["in_skull"] > 0.99
    for metres in (0.001, -0.005):
        assert strands_inside(shifted(scalp, metres), template, template.vertices)["in_skull"] == 0
    rootless = shifted(scalp, -0.005)
    rootless[:, :2] = shifted(scalp, 0.005)[:, :2]
    assert strands_inside(rootless, template, template.vertices)["in_skull"] == 0, "roots lie in the skin"
    ears = np.flatnonzero(template.regions["ears"][:count] > 0.9)
    assert strands_inside(shifted(ears, 0.0014), template, template.vertices)["in_ear"] > 0.3
    assert strands_inside(shifted(ears, -0.0005), template, template.vertices)["in_ear"] < 0.05
    through = np.stack([template.eye_pivots[0] + [0, y, 0] for y in np.linspace(0.1, 0, 12)]).astype(np.float32)
    beside = through + np.float32([0, 0, 0.03])
    assert strands_inside(np.stack([through, beside]), template, template.vertices)["in_eyes"] == 0.5
    below = np.array([[[0.0, 0.3, -0.05]] * 4], np.float32)
    assert strands_inside(below, template, template.vertices)["in_skull"] == 0, "below the neck there is no head"


def test_the_command_measures_each_folder_and_goes_on_after_a_person_with_one_photo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, count in (("anna", 3), ("bert", 1), ("carl", 2)):
        (tmp_path / name).mkdir()
        for k in range(count):
            (tmp_path / name / f"{k}.jpg").touch()
    given = []

    def person_hair(photos: tuple[Path, ...], quality: str, most: int) -> dict[str, float]:
        given.append((photos[0].parent.name, len(photos), quality, most))
        if len(photos) < 2:
            raise LikenessError("no_photo", "There is only one usable photo.")
        return {"overlap": 0.6, "in_skull": np.nan}

    monkeypatch.setattr(hair, "person_hair", person_hair)
    parser = ArgumentParser()
    hair.add_arguments(parser)
    people = [str(tmp_path / name) for name in ("anna", "bert", "carl")]
    figures = hair.run(parser.parse_args([*people, "--photos", "2", "--most", "1"]), Console(quiet=True))
    assert given == [("anna", 2, "standard", 1), ("bert", 1, "standard", 1), ("carl", 2, "standard", 1)]
    assert {"person.anna.overlap", "person.carl.overlap"} <= set(figures) and "person.bert.overlap" not in figures
    assert figures["hair.overlap"] == pytest.approx(0.6) and "hair.in_skull" not in figures
    with pytest.raises(LikenessError, match="Nobody could be measured"):
        hair.run(parser.parse_args([people[1]]), Console(quiet=True))


def test_hair_is_compared_with_the_photo_in_brightness_contrast_and_colour() -> None:
    light = light_from_directions(np.array([[0.3, 0.5, 0.8]]), np.full((1, 3), 0.5), 0.6)
    template, strands = load_template(), made_strands(900)
    grey = np.where(strands.points[:, 0, :1] < 0, 0.05, 0.2).repeat(3, 1).astype(np.float32)  # one side is darker
    strands = replace(strands, root_colour=grey, tip_colour=grey)
    view = camera(20.0).scaled(2.0)
    photo = FittedPhoto("a.jpg", view, np.zeros(52), template.vertices, light, 1.0, 0.1)
    drawn = draw_hair(finished_hairs(strands, DRAWN), view, *closed_head(template.vertices, template), light)
    labels = np.where(drawn.alpha > 0.5, FaceClass.HAIR, FaceClass.BACKGROUND).astype(np.uint8)
    face = plain_photo(labels.shape[::-1], name="a.jpg", pixels=srgb_bytes(drawn.color), labels=labels)
    same = hair_tone(strands, photo, face, template)
    assert abs(same["brightness"]) < 0.05 and 0.9 < same["contrast"] < 1.1
    brighter = hair_tone(strands.recoloured(np.full(3, 2.0)), photo, face, template)
    assert 0.5 < brighter["brightness"] < 0.85
    assert abs(same["redder"]) < 0.05 and abs(same["bluer"]) < 0.05
    red = hair_tone(strands.recoloured(np.array([1.5, 1.0, 0.5])), photo, face, template)
    assert red["redder"] == pytest.approx(np.log(1.5), abs=0.12) and red["bluer"] < -0.4
    flat = hair_tone(replace(strands, root_colour=0 * grey + 0.1, tip_colour=0 * grey + 0.1), photo, face, template)
    assert flat["contrast"] < 0.8 * same["contrast"]
    assert not hair_tone(strands, photo, replace(face, labels=np.full_like(labels, FaceClass.SKIN)), template)
