"""Rims of glasses: both lenses have one shape, so that half a frame shows where the other half is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.accessories import find_rims
from backend.photos.regions import EYE_RIGHT, mirrored

SIDE = 160


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of the crop."""
    return mean_face(90.0, (SIDE / 2, SIDE / 2))[:, :2]


def _rim(landmarks: np.ndarray, eye: tuple[int, ...]) -> np.ndarray:
    """(S, S) float32: 1 on a round rim about an eye."""
    outline = landmarks[list(eye)]
    width = float(np.ptp(outline[:, 0]))
    picture = np.zeros((SIDE, SIDE), np.float32)
    middle = np.round((outline.mean(0) + np.array([0, 0.04 * width])) * 16).astype(int)
    cv2.ellipse(picture, middle.tolist(), [round(0.92 * width * 16), round(0.64 * width * 16)], 0, 0, 360, 1, 2, 8, 4)
    return picture


def test_half_a_frame_shows_where_the_other_half_is(landmarks: np.ndarray) -> None:
    right, left = (_rim(landmarks, eye) for eye in (EYE_RIGHT, mirrored(EYE_RIGHT)))
    upper = np.arange(SIDE)[:, None] < landmarks[list(mirrored(EYE_RIGHT)), 1].mean()
    rims = find_rims(0.7 * right + 0.3 * left * upper, landmarks)
    assert rims is not None
    band = rims.band
    for rim in (right, left):
        assert band[rim > 0.5].mean() > 0.85
    pupils, nose = landmarks[[468, 473], ::-1].astype(int), landmarks[4, ::-1].astype(int)
    assert not any(band[tuple(point)] for point in (*pupils, nose)), "pupils and nose are off it"
    assert all(rims.lenses[tuple(point)] for point in pupils)
    assert not (rims.lenses & band).any()


def test_a_turned_head_has_a_narrower_far_lens(landmarks: np.ndarray) -> None:
    turned = landmarks.copy()
    aside = turned[:, 0] > SIDE / 2
    turned[aside, 0] = SIDE / 2 + 0.6 * (turned[aside, 0] - SIDE / 2)
    rims = find_rims(_rim(landmarks, EYE_RIGHT), turned)
    assert rims is not None
    band = rims.band
    middle = round(SIDE / 2)
    near_width = np.ptp(np.flatnonzero(band[:, : middle - 8].any(0)))
    far_width = np.ptp(np.flatnonzero(band[:, middle + 8 :].any(0)))
    assert far_width < 0.8 * near_width


def test_no_rims_where_nothing_stands_out(landmarks: np.ndarray) -> None:
    assert find_rims(np.full((SIDE, SIDE), 0.5, np.float32), landmarks) is None
    assert find_rims(np.zeros((SIDE, SIDE), np.float32), landmarks) is None
    speck = np.zeros((SIDE, SIDE), np.float32)
    x, y = np.round(landmarks[33]).astype(int)
    speck[y - 1 : y + 2, x - 1 : x + 2] = 0.9
    assert find_rims(speck, landmarks) is None
