"""Pictures that Cycles draws: what stands where, what is kept, what is said where Blender is missing."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.errors import LikenessError
from backend.rendering.camera import look_at
from trainer.heads import drawing
from trainer.heads.drawing import VIEWS, Light, Part, Shot, draw, draw_shot
from trainer.heads.dressed import eyeball

WHITE = Light((1.0, 1.0, 1.0), (), ((0.0,) * 3,) * 2, 0.0)
MIDDLE = np.array([0.01, 0.6, 0.1])


def square(middle: np.ndarray, side: float, colour: tuple[float, float, float]) -> Part:
    """A square that faces +z."""
    corners = middle + side / 2 * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Part("cloth", corners, np.array([[0, 1, 2, 3]]), np.tile(colour, (4, 1)))


def test_shots_are_the_same_every_time_and_cover_what_they_promise() -> None:
    shots = [draw_shot(3, number, MIDDLE) for number in range(len(VIEWS))]
    again = [draw_shot(3, number, MIDDLE) for number in range(len(VIEWS))]
    for shot, other, (yaw, _) in zip(shots, again, VIEWS, strict=True):
        np.testing.assert_array_equal(shot.camera.camera_from_head, other.camera.camera_from_head)
        assert (shot.light, shot.view, shot.seed) == (other.light, other.view, other.seed)
        away = shot.camera.centre() - MIDDLE
        assert np.degrees(np.arctan2(-away[0], away[2])) == pytest.approx(yaw, abs=8)
        place = shot.camera.project(MIDDLE)[:2] / shot.camera.size
        assert np.abs(place - 0.5).max() < 0.12
    assert len({shot.seed for shot in shots}) == len(VIEWS)


def test_an_eyeball_turns_its_iris_to_what_it_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.heads import dressed

    monkeypatch.setattr(dressed.makehuman, "parts_folder", lambda: Path("parts"))
    angle = np.linspace(0, 3.1, 60)
    ring = 0.012 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], 1)
    ball = np.concatenate([ring, ring * [-1, 1, 1], ring[:, [1, 0, 2]], -ring[:, [1, 0, 2]] * [1, 1, -1]])
    faces = np.arange(len(ball)).reshape(-1, 3)
    for target in (np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.0, 1.0])):
        part = eyeball(ball, faces, target, "iris.png")
        uv = np.zeros((len(ball), 2))
        uv[part.faces.ravel()] = part.values.reshape(-1, 2)
        seen = part.points @ target / np.linalg.norm(target) / 0.012
        in_iris = np.linalg.norm(uv - dressed.IRIS_PLACE[:2], axis=1) < 0.99 * dressed.IRIS_PLACE[2]
        np.testing.assert_array_equal(in_iris, seen > np.cos(np.radians(0.99 * dressed.IRIS_DEGREES)))


@pytest.mark.blender
@pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="needs bpy (the extra blender)")
def test_what_is_drawn_stands_where_the_camera_says_and_is_kept(tmp_path: Path) -> None:
    camera = look_at(20.0, -10.0, 15.0, 0.8, 400.0, (240, 192), MIDDLE)
    camera = replace(camera, intrinsics=camera.intrinsics + np.array([[0, 0, 9], [0, 0, -6], [0, 0, 0]]))
    marks = MIDDLE + np.array([[0.08, 0.05, 0.0], [-0.1, 0.02, 0.03]])
    parts = [square(marks[0], 0.03, (1.0, 0.0, 0.0)), square(marks[1], 0.03, (0.0, 0.0, 1.0))]
    path = tmp_path / "new" / "1.jpg"
    draw(parts, MIDDLE, {path: Shot(camera, WHITE, 64.0, 0.8, 0.0, "Standard", 4, 1)})
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float64)
    assert pixels.shape == (192, 240, 3)
    expected = camera.project(marks)[:, :2]
    for channel, place in zip((0, 2), expected, strict=True):
        strong = pixels[..., channel] - pixels[..., [1, 2 - channel]].max(-1) > 40
        rows, columns = np.nonzero(strong)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], place, atol=1.0)
    before = path.read_bytes()
    draw([], MIDDLE, {path: Shot(camera, WHITE, 64.0, 0.8, 0.0, "Standard", 4, 1)})
    assert path.read_bytes() == before


def test_a_missing_blender_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.importlib.util, "find_spec", lambda name: None)
    shot = draw_shot(1, 0, MIDDLE)
    with pytest.raises(LikenessError, match="bpy is missing") as problem:
        draw([square(MIDDLE, 0.1, (1, 1, 1))], MIDDLE, {tmp_path / "1.jpg": shot})
    assert problem.value.code == "missing_part" and not list(tmp_path.iterdir())
