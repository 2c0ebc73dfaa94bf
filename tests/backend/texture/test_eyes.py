"""Painted eyeballs, and what lids shade."""

from __future__ import annotations

import numpy as np

from backend.geometry.vectors import spread_directions
from backend.rig.eye_surfaces import IRIS_RADIUS
from backend.texture.eyes import PUPIL_RADIUS, lash_line, lid_shadow, paint_eyeball

RADIUS = 0.012
BLUE = np.array([0.11, 0.16, 0.21])


def _ball(count: int = 20000) -> np.ndarray:
    return (RADIUS * spread_directions(count)).astype(np.float32)


def test_pupil_iris_and_white_are_where_they_belong() -> None:
    points = _ball()
    colour = paint_eyeball(points, BLUE, 3)
    off_axis, front = np.hypot(points[:, 0], points[:, 1]), points[:, 2] > 0
    assert colour[front & (off_axis < PUPIL_RADIUS - 0.0003)].max() < 0.02
    iris = colour[front & (off_axis > PUPIL_RADIUS + 0.001) & (off_axis < IRIS_RADIUS - 0.0012)]
    assert np.abs(np.log(iris.mean(0) / BLUE)).max() < 0.25
    white = colour[front & (off_axis > IRIS_RADIUS + 0.001)]
    assert white.min() > 0.25 and np.median(white) > 0.5
    assert colour.max() < 0.8  # no highlight


def test_painting_is_deterministic() -> None:
    np.testing.assert_array_equal(paint_eyeball(_ball(500), BLUE, 3), paint_eyeball(_ball(500), BLUE, 3))


def test_the_upper_lid_shades_the_eye_to_its_middle() -> None:
    """In portraits an eye is five times as bright at the lower lid as under the upper one, and the cornea gathers the
    light on the iris's lower half."""
    turn = np.linspace(-np.pi, np.pi, 200, endpoint=False)
    x, y = 0.011 * np.cos(turn), 0.005 * np.sin(turn)
    rim = np.stack([x, y, np.sqrt(RADIUS**2 - x**2 - y**2)], 1)
    height = np.array([0.0045, 0.0, -0.002])
    column = np.stack([0 * height, height, np.sqrt(RADIUS**2 - height**2)], 1)
    top, middle, below = lid_shadow(column, rim, 0.0)
    assert top < 0.3 and 2.0 * top < middle < below
    iris = np.array([[0.0, h, np.sqrt(RADIUS**2 - h**2)] for h in (-0.0035, 0.0035)], np.float32)
    lower, upper = (np.mean([paint_eyeball(iris[[k]], BLUE, seed) for seed in range(40)]) for k in (0, 1))
    assert lower > 1.3 * upper
    np.testing.assert_allclose(lid_shadow(column, rim[y < -0.001], 0.0)[0], 0.8, rtol=0.05)  # no upper lid, no shade


def test_lids_end_in_a_dark_line() -> None:
    """Lids one millimetre above the eyeball that touch it along an opening of eight millimetres."""
    turn = np.linspace(-np.pi, np.pi, 200, endpoint=False)
    x, y = 0.011 * np.cos(turn), 0.004 * np.sin(turn)
    rim = np.stack([x, y, np.sqrt(RADIUS**2 - x**2 - y**2)], 1)
    lid = rim * np.array([1.0, 2.5, 1.0])  # six millimetres up and down
    centre = np.array([0.03, 0.02, 0.01])
    share = lash_line(np.concatenate([rim, lid]) + centre, np.concatenate([rim, lid]) + centre, centre, RADIUS)
    middle = np.abs(x) < 0.004
    upper, lower = share[:200][middle & (y > 0)], share[:200][middle & (y < 0)]
    assert upper.max() < 0.7 and lower.min() > upper.max() and lower.max() < 0.95
    assert share[200:][middle].min() > 0.97
    assert share[:200][np.abs(x) > 0.0109].min() > share[:200][middle & (y > 0)].max()  # fades towards the corners
    np.testing.assert_array_equal(lash_line(lid, lid * 2.0, np.zeros(3), RADIUS), 1.0)  # nothing touches the eyeball
