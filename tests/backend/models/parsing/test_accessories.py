"""What a face wears is decided once for the whole face, by both nets, by all photos, and by the shape of rims."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mean_face import mean_face

from backend.models.parsing import accessories
from backend.models.parsing.apply import with_pale_hair, with_second_opinion
from backend.photos.collection import FaceClass
from backend.photos.regions import EYE_RIGHT, FACE_OVAL, FOREHEAD, grown, mirrored, polygon_mask

SIDE = 160
GREY = np.full((SIDE, SIDE, 3), 128, np.uint8)
YES, NO, UNKNOWN = (
    accessories.AccessoryScores(5.0, 5.0, 5.0),
    accessories.AccessoryScores(-5.0, -5.0, -5.0),
    accessories.AccessoryScores(*(math.nan,) * 3),
)
FINE = (FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
WIDE = 256
SKIN = np.array([205, 150, 125])


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of the crop."""
    return mean_face(90.0, (SIDE / 2, SIDE / 2))[:, :2]


def _settled(
    odds: np.ndarray, landmarks: np.ndarray, glasses: float = 0.0, hair: float = 0.0, pixels: np.ndarray = GREY
) -> np.ndarray:
    """Settled probabilities of a picture, with ``glasses`` and ``hair`` added to the log odds of both nets."""
    alone = accessories.score_accessories(odds, landmarks, odds)
    scores = accessories.AccessoryScores(alone.glasses + glasses, alone.moustache + hair, alone.beard + hair)
    return accessories.resolve_accessories(odds, landmarks, pixels, scores)


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
    alone, more, less = (accessories.score_accessories(odds, landmarks, second) for second in (odds, sees, sees_not))
    assert all(low < usual < high for low, usual, high in zip(less, alone, more, strict=True))
    assert alone == pytest.approx([2 * np.log(0.05 / 0.95) + bias for bias in accessories._BIASES])


def test_a_doubtful_photo_follows_the_others() -> None:
    doubtful = accessories.AccessoryScores(-1.0, 1.0, -0.5)
    assert accessories.vote_over_photos([doubtful, YES, YES])[0].decisions == YES.decisions
    assert accessories.vote_over_photos([NO, doubtful, NO])[1].decisions == NO.decisions


def test_a_sure_photo_stays_as_it_is_and_so_does_an_only_one() -> None:
    assert accessories.vote_over_photos([NO, YES, YES, YES])[0].decisions == NO.decisions
    assert accessories.vote_over_photos([accessories.AccessoryScores(0.3, -0.2, 0.1)]) == (
        accessories.AccessoryScores(0.3, -0.2, 0.1),
    )


def test_facial_hair_follows_the_others_further_than_glasses_do() -> None:
    """Glasses are taken off between two photos, a moustache is not."""
    turned = accessories.vote_over_photos([accessories.AccessoryScores(3.0, 3.0, 3.0), NO, NO, NO])[0]
    assert turned.glasses > 0 and turned.moustache < 0 and turned.beard < 0


def test_others_who_disagree_or_cannot_tell_say_nothing() -> None:
    torn = accessories.vote_over_photos([accessories.AccessoryScores(0.4, -0.4, 0.1), YES, NO])[0]
    assert torn == pytest.approx((0.4, -0.4, 0.1))
    assert accessories.vote_over_photos([accessories.AccessoryScores(0.4, -0.4, 0.1), UNKNOWN])[
        0
    ] == accessories.AccessoryScores(0.4, -0.4, 0.1)
    unseen, known = accessories.vote_over_photos([UNKNOWN, YES])
    assert math.isnan(unseen.beard) and known == YES


def _random(seed: int) -> np.ndarray:
    """(C, 4, 4) probabilities, some of them nearly 0 and 1."""
    odds = np.exp(4 * np.random.default_rng(seed).normal(size=(len(FaceClass), 4, 4)))
    return (odds / odds.sum(0)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_what_is_fine_stays_and_probabilities_stay_probabilities(seed: int, other: int) -> None:
    own = _random(seed)
    both = with_second_opinion(own, _random(other))
    np.testing.assert_array_equal(both[list(FINE)], own[list(FINE)])
    np.testing.assert_allclose(both.sum(0), 1.0, atol=1e-5)
    assert both.min() >= 0


def test_of_hair_that_only_the_second_sees_most_is_believed() -> None:
    own, opinion = np.zeros((2, len(FaceClass), 1, 2), np.float32)
    own[FaceClass.BACKGROUND] = 1.0
    opinion[FaceClass.HAIR, 0, 0] = opinion[FaceClass.GLASSES, 0, 1] = 1.0
    both = with_second_opinion(own, opinion)
    assert 0.5 < both[FaceClass.HAIR, 0, 0] < 0.9
    np.testing.assert_allclose(both.sum(0), 1, atol=1e-6)
    assert both[FaceClass.BACKGROUND, 0, 1] == 1.0  # glasses are not its business


def test_white_hair_that_was_skin_becomes_hair_and_a_bald_head_does_not() -> None:
    larger = mean_face(110.0, (WIDE / 2, WIDE / 2))
    oval, rows = polygon_mask(larger, FACE_OVAL, WIDE), np.arange(WIDE)[:, None]
    face = grown(oval, 6)
    noise = np.random.default_rng(0).normal(0, 4, (WIDE, WIDE, 1))
    pixels = np.clip(np.where(face[..., None], SKIN, [40, 60, 120]) + noise, 0, 255).astype(np.uint8)
    top = grown(oval, 16) & (rows < larger[10, 1] + 4)
    labels = np.full((WIDE, WIDE), FaceClass.BACKGROUND, np.uint8)
    labels[face | top] = FaceClass.SKIN
    doubtful = np.full((WIDE, WIDE), 0.2, np.float32)
    bald = pixels.copy()
    bald[top] = SKIN
    white = pixels.copy()
    white[top] = (205, 205, 208)
    assert (with_pale_hair(labels, doubtful, bald, larger) == labels).all()
    found = with_pale_hair(labels, doubtful, white, larger)
    assert (found[top & (rows < larger[10, 1] - 3)] == FaceClass.HAIR).mean() > 0.9
    middle = polygon_mask(larger, FOREHEAD, WIDE) & (rows > larger[10, 1] + 10)
    assert (found[middle] == FaceClass.SKIN).all()
    assert (with_pale_hair(labels, 0 * doubtful, white, larger) == labels).all(), "where the net is sure"
    grey = np.repeat(white.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert (with_pale_hair(labels, doubtful, grey, larger) == labels).all(), "no colours, no evidence"


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
    rims = accessories.find_rims(0.7 * right + 0.3 * left * upper, landmarks)
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
    rims = accessories.find_rims(_rim(landmarks, EYE_RIGHT), turned)
    assert rims is not None
    band = rims.band
    middle = round(SIDE / 2)
    near_width = np.ptp(np.flatnonzero(band[:, : middle - 8].any(0)))
    far_width = np.ptp(np.flatnonzero(band[:, middle + 8 :].any(0)))
    assert far_width < 0.8 * near_width


def test_no_rims_where_nothing_stands_out(landmarks: np.ndarray) -> None:
    assert accessories.find_rims(np.full((SIDE, SIDE), 0.5, np.float32), landmarks) is None
    assert accessories.find_rims(np.zeros((SIDE, SIDE), np.float32), landmarks) is None
    speck = np.zeros((SIDE, SIDE), np.float32)
    x, y = np.round(landmarks[33]).astype(int)
    speck[y - 1 : y + 2, x - 1 : x + 2] = 0.9
    assert accessories.find_rims(speck, landmarks) is None
