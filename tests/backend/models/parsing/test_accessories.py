"""What a face wears is decided once for the whole face, not pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.accessories import _BIASES, AccessoryScores, resolve_accessories, score_accessories
from backend.photos.collection import FaceClass

SIDE = 160
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of the crop."""
    return mean_face(90.0, (SIDE / 2, SIDE / 2))[:, :2]


def _settled(
    odds: np.ndarray, landmarks: np.ndarray, glasses: float = 0.0, hair: float = 0.0, pixels: np.ndarray = GREY
) -> np.ndarray:
    """Settled probabilities of a picture, with ``glasses`` and ``hair`` added to the log odds of both nets."""
    alone = score_accessories(odds, landmarks, odds)
    scores = AccessoryScores(alone.glasses + glasses, alone.moustache + hair, alone.beard + hair)
    return resolve_accessories(odds, landmarks, pixels, scores)


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
    assert not (_settled(speck, landmarks).argmax(0) == FaceClass.GLASSES).any()
    frame = _skin()
    across = _box(eyes.mean(0), 30, 3)
    _mark(frame, FaceClass.GLASSES, across, 0.4)
    assert (frame.argmax(0) != FaceClass.GLASSES).all()
    assert (_settled(frame, landmarks, glasses=5.0).argmax(0)[across] == FaceClass.GLASSES).all()


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
    found = _settled(odds, landmarks, hair=2.0).argmax(0) == FaceClass.FACIAL_HAIR
    x, y = np.round(landmarks[164]).astype(int)
    assert found[y, x - 3 : x + 4].all()
    assert not found[chin].any()
    assert found[cheek].all()


def test_probabilities_stay_probabilities(landmarks: np.ndarray) -> None:
    odds = np.random.default_rng(0).random((len(FaceClass), SIDE, SIDE), np.float32)
    settled = _settled(odds / odds.sum(0), landmarks)
    np.testing.assert_allclose(settled.sum(0), 1.0, atol=1e-5)


def test_a_hat_is_one_thing_and_a_patch_of_one_is_not(landmarks: np.ndarray) -> None:
    top = np.zeros((SIDE, SIDE), bool)
    top[: round(landmarks[10, 1]) - 4] = True
    hat = _skin()
    hat[:, top] = 0.0
    hat[FaceClass.SKIN][top], hat[FaceClass.HAIR][top], hat[FaceClass.OCCLUDER][top] = 0.3, 0.2, 0.5
    assert (_settled(hat, landmarks).argmax(0)[top] == FaceClass.OCCLUDER).all()
    patch = _skin()
    patch[:, top] = 0.0
    patch[FaceClass.HAIR][top] = 1.0
    _mark(patch, FaceClass.OCCLUDER, _box(np.array([80, 12]), 6, 4), 0.45)
    patch /= patch.sum(0)
    assert not (_settled(patch, landmarks).argmax(0) == FaceClass.OCCLUDER).any()


def test_little_certainty_is_enough_for_a_moustache_that_is_worn(landmarks: np.ndarray) -> None:
    x, y = np.round(landmarks[164]).astype(int)
    for share, edges, worn in ((0.45, 1.0, True), (0.45, -4.0, False), (0.2, 1.0, False), (0.2, 5.0, True)):
        odds = _skin()
        _mark(odds, FaceClass.FACIAL_HAIR, _box(landmarks[164], 14, 8), share)
        found = _settled(odds, landmarks, hair=edges).argmax(0) == FaceClass.FACIAL_HAIR
        assert found[y, x] == worn


def test_a_moustache_hangs_a_little_beyond_the_lips_and_no_further(landmarks: np.ndarray) -> None:
    odds = _skin()
    _mark(odds, FaceClass.FACIAL_HAIR, _box(landmarks[164], 12, 6), 0.9)
    hanging = _box(landmarks[61] + [0, 3], 1, 2)
    _mark(odds, FaceClass.FACIAL_HAIR, hanging, 0.9)
    _mark(odds, FaceClass.FACIAL_HAIR, _box(landmarks[175], 3, 2), 0.9)
    found = _settled(odds, landmarks, hair=1.0).argmax(0) == FaceClass.FACIAL_HAIR
    assert found[hanging].all()
    assert not found[_box(landmarks[175], 3, 2)].any()


def test_clear_lenses_are_no_glasses_and_dark_ones_are(landmarks: np.ndarray) -> None:
    odds, rim = _skin(), np.zeros((SIDE, SIDE), np.uint8)
    for eye in ((33, 133), (362, 263)):
        centre = np.round(landmarks[list(eye)].mean(0) * 16).astype(int).tolist()
        width = np.ptp(landmarks[list(eye), 0])
        axes = [round(0.92 * width * 16), round(0.6 * width * 16)]
        cv2.ellipse(rim, centre, axes, 0, 0, 360, 1, -1, 8, 4)
        cv2.ellipse(rim, centre, axes, 0, 0, 360, 2, 3, 8, 4)
    _mark(odds, FaceClass.GLASSES, rim == 1, 0.55)
    _mark(odds, FaceClass.GLASSES, rim == 2, 0.95)
    x, y = np.round(landmarks[[33, 133]].mean(0)).astype(int)
    for level, worn in ((128, False), (30, True)):
        pixels = GREY.copy()
        pixels[rim == 1] = level
        found = _settled(odds, landmarks, glasses=5.0, pixels=pixels).argmax(0) == FaceClass.GLASSES
        assert found[rim == 2].mean() > 0.9
        assert found[y + 5, x] == worn


def test_both_nets_have_a_say_in_glasses_and_facial_hair(landmarks: np.ndarray) -> None:
    odds = np.full((len(FaceClass), SIDE, SIDE), 0.05, np.float32)
    sees, sees_not = odds.copy(), odds.copy()
    for second, share in ((sees, 0.9), (sees_not, 0.01)):
        second[FaceClass.FACIAL_HAIR] = second[FaceClass.GLASSES] = share
    alone, more, less = (score_accessories(odds, landmarks, second) for second in (odds, sees, sees_not))
    assert all(low < usual < high for low, usual, high in zip(less, alone, more, strict=True))
    assert alone == pytest.approx([2 * np.log(0.05 / 0.95) + bias for bias in _BIASES])
