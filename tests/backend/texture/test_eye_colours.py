"""The colours of eyes that photos show, large and small."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from plain_photo import plain_photo

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import srgb_bytes
from backend.texture.eyes import SCLERA, EyeSample, eye_colours, eye_samples

BLUE, BROWN = np.array([0.11, 0.16, 0.21]), np.array([0.07, 0.035, 0.015])
SKIN = np.array([0.45, 0.27, 0.19])


def _eye_photo(iris: np.ndarray, labels_value: int = FaceClass.EYES, white: float = 0.5) -> PhotoFace:
    size, centres, radius = 200, ((60.0, 100.0), (140.0, 100.0)), 14.0
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    linear, labels = np.tile(SKIN, (size, size, 1)), np.full((size, size), FaceClass.SKIN, np.uint8)
    for x, y in centres:
        distance = np.hypot(xs - x, ys - y)
        linear[distance < 1.7 * radius] = white
        labels[distance < 1.7 * radius] = labels_value
        linear[distance < radius] = iris
        linear[distance < 0.3 * radius] = 0.005
        linear[np.hypot(xs - x - 4, ys - y + 4) < 4] = 0.95  # a catchlight
    landmarks = np.zeros((478, 3), np.float32)
    for row, (x, y) in zip((468, 473), centres, strict=True):
        for k, (dx, dy) in enumerate(((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1))):
            landmarks[row + k, :2] = (x + radius * dx, y + radius * dy)
    return plain_photo((size, size), pixels=srgb_bytes(linear), landmarks=landmarks, labels=labels)


@pytest.mark.parametrize("iris", [BLUE, np.array([0.07, 0.035, 0.015]), np.array([0.11, 0.12, 0.06])])
def test_iris_colour_is_found_beside_the_catchlight(iris: np.ndarray) -> None:
    found = eye_colours(eye_samples(_eye_photo(0.7 * iris), np.ones(3))).iris
    assert np.abs(np.log(found / iris)).max() < 0.35


def test_glasses_and_missing_irises_give_no_sample() -> None:
    assert not eye_samples(_eye_photo(BLUE, FaceClass.GLASSES), np.ones(3))
    usual = eye_colours([])
    assert usual.iris[0] > usual.iris[2]  # brown
    np.testing.assert_allclose(usual.white, SCLERA)


def _white(photo: PhotoFace, light: float) -> np.ndarray:
    return eye_colours(eye_samples(photo, np.full(3, light))).white


def test_the_eyes_white_is_as_bright_as_beside_the_skin() -> None:
    dim, bright = (_white(_eye_photo(BLUE, white=0.87 * w), 1.0) for w in (0.30, 0.45))
    np.testing.assert_allclose([dim.mean(), bright.mean()], [0.30, 0.45], rtol=0.1)
    # the same picture, twice as much light on the face: an eye half as bright beside it
    half = _white(_eye_photo(BLUE, white=0.87 * 0.8), 2.0)
    assert half.mean() == pytest.approx(0.4, rel=0.1)


def test_shaded_sockets_do_not_darken_the_white() -> None:
    shaded, lit = (eye_samples(_eye_photo(BLUE, white=0.87 * w), np.ones(3)) for w in (0.2, 0.5))
    assert eye_colours(2 * shaded + 2 * lit).white.mean() == pytest.approx(0.5, rel=0.1)


def _small_photo(iris: np.ndarray, radius: float) -> PhotoFace:
    """Two eyes between lids, with irises of ``radius`` px; small ones come from a smaller JPEG that was enlarged."""
    size, large, centres = 960, 48.0, ((300.0, 480.0), (660.0, 480.0))
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    linear, labels = np.tile(SKIN, (size, size, 1)), np.full((size, size), FaceClass.SKIN, np.uint8)
    landmarks = np.zeros((478, 3), np.float32)
    for row, (x, y) in zip((468, 473), centres, strict=True):
        distance = np.hypot(xs - x, ys - y)
        opening = ((xs - x) / 2.1) ** 2 + ((ys - y) / 0.9) ** 2 < large**2
        linear[distance < 2.2 * large] *= 0.65  # lashes and the socket's shade
        linear[opening] = (0.33, 0.26, 0.22)  # the white, in the lids' reddish light
        linear[opening & (distance < large)] = 0.7 * iris
        linear[opening & (distance < 0.35 * large)] = 0.004
        labels[opening] = FaceClass.EYES
        for k, (dx, dy) in enumerate(((0, 0), (1, 0), (0, -1), (-1, 0), (0, 1))):
            landmarks[row + k, :2] = (x + large * dx, y + large * dy)
    scale = radius / large
    side = round(size * scale)
    small = cv2.resize(linear, (side, side), interpolation=cv2.INTER_AREA)
    pixels = srgb_bytes(small)
    if radius < 9:
        stored = cv2.resize(pixels, None, fx=0.625, fy=0.625, interpolation=cv2.INTER_AREA)
        _, stored = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 70])
        pixels = cv2.resize(cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1], (side, side))
    labels = cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST)
    return plain_photo((side, side), pixels=pixels, landmarks=landmarks * side / size, labels=labels)


def _found(iris: np.ndarray, radius: float) -> np.ndarray:
    samples = eye_samples(_small_photo(iris, radius), np.ones(3))
    return eye_colours(samples * 3).iris


@pytest.mark.parametrize("radius", [3.3, 3.7, 4.2, 20.0])
def test_blue_eyes_stay_blue_and_brown_ones_brown_in_small_photos(radius: float) -> None:
    """A small JPEG has the lids' colour in its irises: measured there, blue ones are amber (0.17, 0.14, 0.11)."""
    blue, brown = _found(BLUE, radius), _found(BROWN, radius)
    assert blue[2] / blue[0] > 2 * brown[2] / brown[0]
    assert brown[0] > 2 * brown[2]
    assert blue.mean() > 1.5 * brown.mean()


def test_brown_eyes_of_small_portraits_are_brown_and_pale_ones_are_not() -> None:
    """Medians of 49 portraits each: brown irises are as warm as their lids, but darker."""
    shown = {"brown": ((-2.4, -2.9, -3.2), (-1.4, -1.9, -2.2)), "pale": ((-1.9, -2.0, -2.1), (-1.3, -1.7, -2.0))}
    samples = {name: EyeSample(*map(np.array, of_eye), 3.7, -1.0, 1.0) for name, of_eye in shown.items()}
    warmth = {name: np.divide(*eye_colours([own]).iris[[0, 2]]) for name, own in samples.items()}
    assert warmth["brown"] > 2 and warmth["pale"] < 1.4


def test_medium_sized_irises_are_between_what_they_show_and_what_is_likely() -> None:
    colours = [_found(np.array([0.11, 0.12, 0.06]), radius) for radius in (4.0, 6.0, 7.0, 8.0, 20.0)]
    assert max(np.abs(np.log(b / a)).max() for a, b in pairwise(colours)) < 1.4  # no jump from one size to the next


def test_lids_of_eyes_that_are_all_but_shut_are_no_irises() -> None:
    """Laughing eyes of a man with brown ones: lids lay where his irises were looked for, and he had blue ones."""
    assert not eye_samples(_small_photo(np.array([0.6, 0.45, 0.38]), 5.0), np.ones(3))
    assert eye_samples(_small_photo(np.array([0.15, 0.165, 0.165]), 5.0), np.ones(3))


def test_an_iris_behind_a_blue_lens_says_nothing() -> None:
    """Skin seen through the lens is bluer than any skin is; brown eyes behind it were bright blue."""
    photo = _small_photo(BROWN, 3.7)
    lens = np.array([0.4, 0.7, 1.0])
    tinted = replace(photo, pixels=(photo.pixels * lens).astype(np.uint8))
    assert eye_samples(photo, np.ones(3))
    assert not eye_samples(tinted, np.ones(3))
    assert eye_samples(tinted, lens**2.2)  # the lamp is as blue: that is light, and no lens
