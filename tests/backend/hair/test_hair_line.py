"""The hair line that a person has set in one photo: the style's numbers, and what all photos are read as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made_hair import camera
from plain_photo import plain_photo

from backend.exchange.face_asset import AssetPhoto
from backend.exchange.preview import with_head_points
from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import FIRST_HAIR, HAIR_DEGREES, LANDMARKS, Template, ear_vertices
from backend.hair.groom import load_grooms
from backend.hair.hair_line import apply_hairline_points, line_numbers, line_points
from backend.photos.collection import FaceClass, PhotoFace

SIDE = 112
HIGHER = (7.0, 8.5, 8.0, 12.0, 11.0)
"""Degrees by which a line is higher than the usual one at ``HAIR_DEGREES``."""


def numbers(up: float = 0.0) -> dict[str, float]:
    """Numbers of the line that is ``HIGHER``, and by ``up`` more."""
    usual = line_numbers(load_grooms()["taper"].hairline)
    return {name: away - more - up for (name, away), more in zip(usual.items(), HIGHER, strict=True)}


def fitted_photo(template: Template, yaw: float) -> FittedPhoto:
    return FittedPhoto(f"{yaw}", camera(yaw), np.zeros(52), template.vertices, np.zeros((9, 3)), 1.0, 0.02)


def fitted(template: Template, *yaws: float) -> FittedFace:
    photos = tuple(fitted_photo(template, yaw) for yaw in yaws)
    return FittedFace(np.zeros(0), template.vertices, np.ones_like(template.vertices), photos, ())


def face(yaw: float, label: FaceClass, **changes: object) -> PhotoFace:
    labels = np.full((SIDE, SIDE), label, np.uint8)
    return plain_photo((SIDE, SIDE), name=f"{yaw}", labels=labels, **changes)


def line_in(template: Template, yaw: float, numbers: dict[str, float]) -> np.ndarray:
    return camera(yaw).project(line_points(template.vertices, numbers))[:, :2]


def test_the_points_give_the_line_that_they_were_taken_from(template: Template) -> None:
    one = face(0.0, FaceClass.SKIN, hair_line=line_in(template, 0.0, numbers()))
    line, _ = apply_hairline_points(fitted(template, 0.0), (one,))
    at = line[np.array(HAIR_DEGREES, int) + 180]
    np.testing.assert_allclose(at, list(numbers().values()), atol=2.0)
    assert np.isnan(line[:60]).all() and np.isnan(line[-60:]).all()


def test_all_photos_are_read_as_hair_above_the_line_and_skin_below(template: Template) -> None:
    set_here = face(0.0, FaceClass.SKIN, hair_line=line_in(template, 0.0, numbers()))
    other = face(20.0, FaceClass.HAIR)
    _, (first, second) = apply_hairline_points(fitted(template, 0.0, 20.0), (set_here, other))
    places = {yaw: [line_in(template, yaw, numbers(up))[0] for up in (7.0, -7.0)] for yaw in (0.0, 20.0)}
    for told, yaw in ((first, 0.0), (second, 20.0)):
        above, below = (told.labels[int(y), int(x)] for x, y in places[yaw])
        assert (above, below) == (FaceClass.HAIR, FaceClass.SKIN)
    assert first.labels[-1, 0] == FaceClass.SKIN and second.labels[-1, 0] == FaceClass.HAIR  # far from the line


def test_without_points_and_with_points_beside_the_head_nothing_changes(template: Template) -> None:
    for line in (None, np.array([[1.0, 1.0], [SIDE - 1.0, 2.0]])):
        faces = (face(0.0, FaceClass.SKIN, hair_line=line),)
        line, told = apply_hairline_points(fitted(template, 0.0), faces)
        assert line is None and told[0] is faces[0]


def shown(template: Template, yaw: float, style: dict[str, float] | None, examined: bool = True) -> np.ndarray:
    photo = fitted_photo(template, yaw)
    asset = AssetPhoto(photo.name, photo.camera, photo.expression, 1.0, 0.02)
    faces = (replace(face(yaw, FaceClass.SKIN), crop_scale=0.5, crop_offset=(30.0, 40.0)),)
    (told,) = with_head_points((asset,), (photo,), faces, template, style, examined)
    return told.head_points


def test_points_are_shown_in_the_files_pixels_where_they_can_be_seen(template: Template) -> None:
    front = shown(template, 0.0, numbers())
    assert front[:, 2].all()
    in_crop = camera(0.0).project(template.vertices[ear_vertices()].astype(float))[:, :2]
    np.testing.assert_allclose(front[:6, :2], in_crop / 0.5 + [30.0, 40.0], atol=0.01)
    np.testing.assert_allclose(front[6:, :2], line_in(template, 0.0, numbers()) / 0.5 + [30.0, 40.0], atol=0.01)
    left_turned_away = shown(template, 80.0, numbers())[:6, 2]
    assert sorted([left_turned_away[:3].sum(), left_turned_away[3:].sum()]) == [0, 3]


def test_where_there_is_no_hair_there_is_no_line_and_where_nobody_looked_nobody_knows(template: Template) -> None:
    hair = slice(FIRST_HAIR - LANDMARKS, None)
    assert (shown(template, 0.0, None)[hair, 2] == 0).all()
    assert (shown(template, 0.0, None, examined=False)[hair, 2] == -1).all()
