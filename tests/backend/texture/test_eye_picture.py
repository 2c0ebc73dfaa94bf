"""The eyes' own picture: its map, its irises, and lids' shade."""

from __future__ import annotations

import numpy as np

from backend.rendering.color import linear_from_srgb
from backend.texture.eyes import EYE_SIDE, EyeColours, LidEdges, eye_picture, eye_points, eye_uv, painted_eye

RADIUS = 0.0143
COLOURS = EyeColours(np.array([0.10, 0.16, 0.21]), np.array([0.42, 0.39, 0.36]))


def _lids() -> LidEdges:
    x = np.linspace(-0.011, 0.011, 9)
    z = np.sqrt(RADIUS**2 - x**2 - 0.006**2)
    return LidEdges(np.stack([x, np.full(9, 0.006), z], 1), np.stack([x, np.full(9, -0.006), z], 1))


def test_the_map_and_its_inverse_agree() -> None:
    side = 64
    points = eye_points(side, RADIUS)
    ticks = (np.arange(side) + 0.5) / side
    u, v = (grid.ravel() for grid in np.meshgrid(ticks, ticks[::-1]))
    inside = np.hypot(u - 0.5, v - 0.5) < 0.49
    for left in (False, True):
        uv = eye_uv(points, RADIUS, left)
        assert np.allclose(uv[inside], np.stack([0.5 * (u + left), v], 1)[inside], atol=1e-5)


def test_irises_are_512_pixels_across_and_of_the_given_colour() -> None:
    picture = eye_picture(COLOURS, (RADIUS, RADIUS), (_lids(), _lids()))
    assert picture.shape == (EYE_SIDE, 2 * EYE_SIDE, 3) and picture.dtype == np.uint8
    light = linear_from_srgb(picture)
    for middle in (EYE_SIDE // 2, EYE_SIDE * 3 // 2):
        row = light[EYE_SIDE // 2].mean(axis=1)
        white = row[middle + 290]
        iris = np.flatnonzero(row[middle - 400 : middle + 400] < 0.75 * white)
        assert np.ptp(iris) >= 512
        ring = light[EYE_SIDE // 2 + 130 : EYE_SIDE // 2 + 200, middle - 20 : middle + 20].reshape(-1, 3)
        found = np.median(ring, axis=0)
        assert found[2] > 1.5 * found[0]  # blue it was
        assert 0.4 < found.mean() / COLOURS.iris.mean() < 1.6
        rim = light[EYE_SIDE // 2 + 250 : EYE_SIDE // 2 + 266, middle - 20 : middle + 20].mean()
        assert rim < 0.75 * found.mean()  # the limbal ring


def test_lids_leave_no_shadow_of_themselves_above_the_eye() -> None:
    picture = linear_from_srgb(eye_picture(COLOURS, (RADIUS, RADIUS), (_lids(), _lids()), 256)).mean(-1)
    column = picture[:, 128 + 75]
    assert column[30] < 0.8 * column[128]  # behind the upper lid it stays as dark as at its edge


def test_an_eyeball_is_painted_as_its_picture_shows_it() -> None:
    picture = eye_picture(COLOURS, (RADIUS, RADIUS), (_lids(), _lids()), 256)
    front = np.array([[0.0, 0.0, RADIUS], [0.004, 0.0, np.sqrt(RADIUS**2 - 0.004**2)], [0.0, 0.0, -RADIUS]])
    for left in (False, True):
        pupil, iris, _ = linear_from_srgb(painted_eye(picture, front, RADIUS, left)).astype(float)
        assert pupil.max() < 0.02 < iris.min()
        assert np.abs(np.log(iris / COLOURS.iris)).max() < 0.7
