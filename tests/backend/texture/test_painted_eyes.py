"""Painted eyeballs, and the iris colour that photos show."""

from __future__ import annotations

import numpy as np
import pytest
from plain_photo import plain_photo

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import srgb_bytes
from backend.texture.eyes import (
    DEFAULT_IRIS,
    IRIS_RADIUS,
    PUPIL_RADIUS,
    SCLERA,
    iris_colour,
    iris_sample,
    lash_line,
    lid_shadow,
    paint_eyeball,
    white_colour,
    white_sample,
)

RADIUS = 0.012
BLUE = np.array([0.11, 0.16, 0.21])


def _ball(count: int = 20000) -> np.ndarray:
    step = np.arange(count) + 0.5
    z = 1 - 2 * step / count
    turn = np.pi * (1 + 5**0.5) * step
    ring = np.sqrt(1 - z * z)
    return (RADIUS * np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1)).astype(np.float32)


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


def _eye_photo(iris: np.ndarray, labels_value: int = FaceClass.EYES, white: float = 0.5) -> PhotoFace:
    size, centres, radius = 200, ((60.0, 100.0), (140.0, 100.0)), 14.0
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    linear = np.full((size, size, 3), white)
    for x, y in centres:
        distance = np.hypot(xs - x, ys - y)
        linear[distance < radius] = iris
        linear[distance < 0.3 * radius] = 0.005
        linear[np.hypot(xs - x - 4, ys - y + 4) < 4] = 0.95  # a catchlight
    landmarks = np.zeros((478, 3), np.float32)
    for row, (x, y) in zip((468, 473), centres, strict=True):
        for k, (dx, dy) in enumerate(((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1))):
            landmarks[row + k, :2] = (x + radius * dx, y + radius * dy)
    labels = np.full((size, size), labels_value, np.uint8)
    return plain_photo((size, size), pixels=srgb_bytes(linear), landmarks=landmarks, labels=labels)


@pytest.mark.parametrize("iris", [BLUE, np.array([0.07, 0.035, 0.015]), np.array([0.11, 0.12, 0.06])])
def test_iris_colour_is_found_beside_the_catchlight(iris: np.ndarray) -> None:
    sample = iris_sample(_eye_photo(0.7 * iris), np.ones(3))
    assert sample is not None
    found = iris_colour([sample])
    assert np.abs(np.log(found / iris)).max() < 0.35


def test_glasses_and_missing_irises_give_no_sample() -> None:
    assert iris_sample(_eye_photo(BLUE, FaceClass.GLASSES), np.ones(3)) is None
    np.testing.assert_array_equal(iris_colour([]), DEFAULT_IRIS)


def test_the_eyes_white_is_as_bright_as_beside_the_skin() -> None:
    dim, bright = (white_colour([white_sample(_eye_photo(BLUE, white=0.87 * w), np.ones(3))]) for w in (0.30, 0.45))
    np.testing.assert_allclose([dim.mean(), bright.mean()], [0.30, 0.45], rtol=0.1)
    # the same picture, twice as much light on the face: an eye half as bright beside it
    half = white_colour([white_sample(_eye_photo(BLUE, white=0.87 * 0.8), np.full(3, 2.0))])
    assert half.mean() == pytest.approx(0.4, rel=0.1)


def test_shaded_sockets_do_not_darken_the_white() -> None:
    shaded, lit = (np.full(3, value) for value in (0.2, 0.5))
    assert white_colour([(shaded, 1.0), (shaded, 1.0), (lit, 1.0), (lit, 1.0)]).mean() == pytest.approx(0.5, rel=0.1)
    np.testing.assert_array_equal(white_colour([]), SCLERA)


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
