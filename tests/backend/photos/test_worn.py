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
    moustache, chin, cheek = (
        _box(landmarks[164], 12, 6),
        _box(landmarks[175], 2, 1),
        _box(landmarks[132] + [6, 0], 2, 6),
    )
    _mark(odds, FaceClass.FACIAL_HAIR, moustache, 0.45)
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


def test_edges_have_a_say_in_whether_glasses_are_worn(landmarks: np.ndarray) -> None:
    frame, across = _skin(), _box(landmarks[[33, 133, 362, 263], :2].mean(0), 30, 3)
    _mark(frame, FaceClass.GLASSES, across, 0.45)
    for score, worn in ((-9.0, False), (None, True), (9.0, True)):
        found = settle_what_is_worn(frame, landmarks, score).argmax(0)[across] == FaceClass.GLASSES
        assert found.any() == worn
    faint = _skin()
    _mark(faint, FaceClass.GLASSES, across, 0.35)
    faint[:, across] *= 0.1  # most of it is something else
    faint[FaceClass.BROWS][across] += 0.9
    for score, worn in ((None, False), (9.0, True)):
        settled = settle_what_is_worn(faint, landmarks, score)[FaceClass.GLASSES][across]
        assert (settled > 0.03).all() == worn


def test_a_hat_is_one_thing_and_a_patch_of_one_is_not(landmarks: np.ndarray) -> None:
    top = np.zeros((SIDE, SIDE), bool)
    top[: round(landmarks[10, 1]) - 4] = True
    hat = _skin()
    hat[:, top] = 0.0
    hat[FaceClass.SKIN][top], hat[FaceClass.HAIR][top], hat[FaceClass.OCCLUDER][top] = 0.4, 0.2, 0.4
    assert (settle_what_is_worn(hat, landmarks).argmax(0)[top] == FaceClass.OCCLUDER).all()
    patch = _skin()
    patch[:, top] = 0.0
    patch[FaceClass.HAIR][top] = 1.0
    _mark(patch, FaceClass.OCCLUDER, _box(np.array([80, 12]), 6, 4), 0.45)
    patch /= patch.sum(0)
    assert not (settle_what_is_worn(patch, landmarks).argmax(0) == FaceClass.OCCLUDER).any()


def test_little_certainty_is_enough_for_a_moustache_that_is_worn(landmarks: np.ndarray) -> None:
    x, y = np.round(landmarks[164]).astype(int)
    for share, worn in ((0.45, True), (0.15, False)):
        odds = _skin()
        _mark(odds, FaceClass.FACIAL_HAIR, _box(landmarks[164], 14, 8), share)
        assert (settle_what_is_worn(odds, landmarks).argmax(0)[y, x] == FaceClass.FACIAL_HAIR) == worn
