"""What a face wears is decided once for the whole face, not pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.photos.landmarks import mean_landmarks
from backend.photos.worn import settle_what_is_worn

SIDE = 160


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of the crop."""
    points = mean_landmarks().points[:, :2].astype(np.float64)
    return (points - points.mean(0)) / np.ptp(points[:, 1]) * 90 + SIDE / 2


def _skin() -> np.ndarray:
    odds = np.zeros((len(FaceClass), SIDE, SIDE), np.float32)
    odds[FaceClass.SKIN] = 1.0
    return odds


def _mark(odds: np.ndarray, face_class: FaceClass, where: np.ndarray, share: float) -> None:
    odds[face_class][where] = share
    odds[FaceClass.SKIN][where] = 1 - share


def _box(centre: np.ndarray, half_width: int, half_height: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    x, y = np.round(centre).astype(int)
    mask[y - half_height : y + half_height + 1, x - half_width : x + half_width + 1] = True
    return mask


def test_a_speck_of_glasses_goes_and_a_doubtful_frame_becomes_whole(landmarks: np.ndarray) -> None:
    eyes = landmarks[[33, 133, 362, 263], :2]
    speck = _skin()
    _mark(speck, FaceClass.GLASSES, _box(eyes[0], 1, 1), 0.9)
    assert not (settle_what_is_worn(speck, landmarks).argmax(0) == FaceClass.GLASSES).any()
    frame = _skin()
    across = _box(eyes.mean(0), 30, 3)
    _mark(frame, FaceClass.GLASSES, across, 0.4)
    assert (frame.argmax(0) != FaceClass.GLASSES).all()
    assert (settle_what_is_worn(frame, landmarks).argmax(0)[across] == FaceClass.GLASSES).all()


def test_a_moustache_does_not_make_a_beard_and_whiskers_stay(landmarks: np.ndarray) -> None:
    odds = _skin()
    moustache, chin, cheek = _box(landmarks[164], 8, 3), _box(landmarks[175], 2, 1), _box(landmarks[132] + [6, 0], 2, 6)
    _mark(odds, FaceClass.FACIAL_HAIR, moustache, 0.4)
    _mark(odds, FaceClass.FACIAL_HAIR, chin, 0.6)
    _mark(odds, FaceClass.FACIAL_HAIR, cheek, 0.6)
    found = settle_what_is_worn(odds, landmarks).argmax(0) == FaceClass.FACIAL_HAIR
    x, y = np.round(landmarks[164]).astype(int)
    assert found[y, x - 3 : x + 4].all()
    assert not found[chin].any()
    assert found[cheek].all()


def test_probabilities_stay_probabilities(landmarks: np.ndarray) -> None:
    odds = np.random.default_rng(0).random((len(FaceClass), SIDE, SIDE), np.float32)
    settled = settle_what_is_worn(odds / odds.sum(0), landmarks)
    np.testing.assert_allclose(settled.sum(0), 1.0, atol=1e-5)
