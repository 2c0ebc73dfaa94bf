"""Lids that are too short for an eye are lengthened until it is shut; without Blender."""

from __future__ import annotations

import numpy as np
import pytest
from scene_helpers import to_the_end

from blender_addon.transfer.keys_for_mesh import SAME_PIECE_IOU, Eyeball, _front, _upper_edge, place_part, shut_lids
from blender_addon.transfer.registration import Surface, welded

AROUND, HIGH = 41, 12
AXES = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]])
"""Blender's: the eye looks along -y."""


def patch(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A piece of a sphere of radius 1.06 in front of the eye, between two elevations; vertices and triangles."""
    azimuth, elevation = np.meshgrid(np.linspace(-1.4, 1.4, AROUND), np.linspace(low, high, HIGH))
    x, y, z = np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(AROUND - 1), np.arange(HIGH - 1)))
    a, b, c, d = i + AROUND * j, i + 1 + AROUND * j, i + 1 + AROUND * (j + 1), i + AROUND * (j + 1)
    return 1.06 * np.stack([x, y, z], -1).reshape(-1, 3), np.concatenate(
        [np.stack([a, b, c], -1), np.stack([a, c, d], -1)]
    )


def eye_of(size: float, place: np.ndarray) -> tuple[Surface, np.ndarray, Eyeball]:
    """Skin with an open eye, a blink that goes half the way, and the eyeball."""
    upper, triangles = patch(0.4, 1.4)
    lower, more = patch(-1.4, -0.3)
    vertices = np.concatenate([upper, lower])
    elevation = np.arcsin(upper[:, 2] / 1.06)
    ends = np.arctan2(-upper[:, 1], upper[:, 0])
    turned = elevation - 0.35 * np.clip((1.4 - elevation) / 1.0, 0, 1)
    radius = 1.06 * np.cos(elevation)
    scale = 1.06 * np.cos(turned) / np.maximum(radius, 1e-9)
    posed = np.stack([upper[:, 0] * scale, upper[:, 1] * scale, 1.06 * np.sin(turned)], -1)
    motion = np.zeros_like(vertices)
    motion[: len(upper)] = (posed - upper) * (np.abs(ends - np.pi / 2) < 1.3)[:, None]
    points = np.random.default_rng(0).normal(size=(900, 3))
    ball = points / np.linalg.norm(points, axis=1, keepdims=True)
    skin = Surface(vertices * size + place, np.concatenate([triangles, more + len(upper)]))
    return skin, (motion * size).astype(np.float32), Eyeball(place, size, ball * size + place)


def share_seen(skin: Surface, motion: np.ndarray, eye: Eyeball) -> float:
    """How much of the opening shows while the key is at 1."""
    front = _front(eye, AXES)
    open_, shut = (
        to_the_end(_upper_edge((skin.vertices + m - eye.middle) @ AXES.T / eye.radius, skin.triangles, front))[1].sum()
        for m in (0.0, motion)
    )
    return shut / open_


@pytest.mark.parametrize("size", [0.0145, 3.0])
def test_a_blink_that_is_too_short_shuts_the_eye(size: float) -> None:
    skin, motion, eye = eye_of(size, np.array([0.3, -1.0, 2.0]))
    before = share_seen(skin, motion, eye)
    moves = np.linalg.norm(motion, axis=1) > 0
    other = Eyeball(eye.middle + 9 * size, size, eye.points + 9 * size)
    to_the_end(shut_lids(motion, skin, [other, eye], np.ones(len(motion))))
    assert before > 0.25 and share_seen(skin, motion, eye) < 0.03
    assert not motion[~moves].any()  # the lower lid stays
    ends = np.linalg.norm(skin.vertices + motion - eye.middle, axis=1) / size
    assert ends[moves].min() > 1.0  # outside of the eyeball


def test_without_its_eyeball_a_blink_stays_as_it_is() -> None:
    skin, motion, eye = eye_of(1.0, np.zeros(3))
    before = motion.copy()
    to_the_end(shut_lids(motion, skin, [], np.ones(len(motion))))
    far = Eyeball(eye.middle + 9, 1.0, eye.points + 9)
    to_the_end(shut_lids(motion, skin, [far], np.ones(len(motion))))
    np.testing.assert_array_equal(motion, before)


def test_an_eyeball_is_known_by_its_shape_whatever_its_size_and_teeth_by_what_moves_them() -> None:
    skin, _, eye = eye_of(1.0, np.array([0.3, -1.0, 2.0]))
    part = place_part(eye.points, np.zeros((2, *eye.points.shape)), skin.vertices, skin.vertices)
    assert part.eye and part.stiff and not part.clings
    assert part.alike(1.7 * (eye.points - eye.middle) + eye.middle) > SAME_PIECE_IOU > part.alike(eye.points + 1.0)
    arch = skin.vertices[:AROUND] * [1.0, 1.0, 0.3]
    jaw = np.random.default_rng(0).normal(size=(9, *arch.shape)) * 1e-6  # a file's rounding
    jaw[0] += [0.0, 0.0, -0.5]
    teeth = place_part(arch, jaw, skin.vertices, skin.vertices)
    assert teeth.stiff and not teeth.clings and not teeth.eye


def test_the_two_sides_of_a_face_count_once() -> None:
    vertices, triangles = patch(-1.0, 1.0)
    sides = np.concatenate([triangles, triangles[:, ::-1] + len(vertices)])
    surface, number = welded(np.tile(vertices, (2, 1)), sides, np.zeros(2 * len(vertices)))
    assert len(surface.triangles) == len(triangles) and (number[: len(vertices)] == number[len(vertices) :]).all()
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1.0)
