"""The eyes' own picture: its map, its irises, and what photos show of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.rendering.color import linear_from_srgb, srgb_bytes
from backend.texture.eyes import (
    EYE_SIDE,
    NO_PATTERN,
    EyeColours,
    LidEdges,
    eye_picture,
    eye_points,
    eye_uv,
    iris_patterns,
    one_pattern,
)

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
    picture = eye_picture(COLOURS, (NO_PATTERN, NO_PATTERN), (RADIUS, RADIUS), (_lids(), _lids()))
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


def _photo(radius: float, size: int = 400) -> SimpleNamespace:
    """A face whose two irises have a dark sector at the lower left as one sees them."""
    y, x = np.mgrid[:size, :size] + 0.5
    linear = np.full((size, size, 3), 0.35)
    labels = np.full((size, size), FaceClass.SKIN, np.uint8)
    landmarks = np.zeros((478, 3))
    for row, centre in ((473, (280.0, 200.0)), (468, (120.0, 200.0))):
        distance, angle = np.hypot(x - centre[0], y - centre[1]), np.arctan2(centre[1] - y, x - centre[0])
        labels[distance < 2.2 * radius] = FaceClass.EYES
        linear[distance < radius] = (0.09, 0.05, 0.025)
        sector = (distance < radius) & (np.abs(angle + 3 * np.pi / 4) < 0.5)
        linear[sector] *= 0.65
        linear[distance < 0.35 * radius] = 0.004
        marks = [(0, 0), (radius, 0), (0, -radius), (-radius, 0), (0, radius)]
        landmarks[row : row + 5, :2] = np.array(centre) + marks
    return SimpleNamespace(pixels=srgb_bytes(linear), labels=labels, landmarks=landmarks)


def test_a_sharp_photo_gives_the_iris_its_pattern() -> None:
    photo = SimpleNamespace(face=_photo(40.0), samples=SimpleNamespace(colourless=False, trust=1.0))
    patterns = iris_patterns([photo])
    for pattern in patterns:
        tone, seen = pattern.at(np.array([-0.45, 0.45]), np.array([-0.45, -0.45]))
        assert (seen > 0.8).all()
        assert tone[0].mean() - tone[1].mean() == pytest.approx(np.log(0.65), abs=0.15)
    plain = eye_picture(COLOURS, (NO_PATTERN, NO_PATTERN), (RADIUS, RADIUS), (_lids(), _lids()), 256)
    shown = eye_picture(COLOURS, patterns, (RADIUS, RADIUS), (_lids(), _lids()), 256)
    ratio = linear_from_srgb(shown).mean(-1) / linear_from_srgb(plain).mean(-1)
    assert ratio[158:160, 96:99].mean() < 0.85 < ratio[158:160, 157:160].mean()  # lower left, lower right


def test_a_small_iris_gives_no_pattern() -> None:
    assert one_pattern(_photo(12.0), 468) is None
    photo = SimpleNamespace(face=_photo(12.0), samples=SimpleNamespace(colourless=False, trust=1.0))
    assert iris_patterns([photo])[0] is NO_PATTERN


def test_a_catchlight_is_no_pattern() -> None:
    face = _photo(40.0)
    face.pixels[205:217, 90:100] = 255
    without = one_pattern(face, 468)
    assert without is not None and np.abs(without.tone * without.confidence[..., None]).max() <= 0.6
    _, seen = without.at(np.array([-0.62]), np.array([-0.26]))
    assert seen[0] < 0.2


def test_lids_leave_no_shadow_of_themselves_above_the_eye() -> None:
    picture = linear_from_srgb(
        eye_picture(COLOURS, (NO_PATTERN, NO_PATTERN), (RADIUS, RADIUS), (_lids(), replace(_lids())), 256)
    ).mean(-1)
    column = picture[:, 128 + 75]
    assert column[30] < 0.8 * column[128]  # behind the upper lid it stays as dark as at its edge
