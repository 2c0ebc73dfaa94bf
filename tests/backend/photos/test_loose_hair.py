"""Hair of which a net is not sure: loose hair is found by its colour; clothes, hats and cheeks stay."""

from __future__ import annotations

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.photos.guided_filter import guided_filter
from backend.photos.hair_colours import hair_evidence
from backend.photos.landmarks import mean_landmarks
from backend.photos.loose_hair import with_loose_hair

SIDE = 192
BROWN, RED, GREY, BLACK = (90, 60, 40), (170, 30, 30), (128, 128, 128), (12, 12, 14)


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 3) of a face in the middle of the crop, 80 px high."""
    points = mean_landmarks().points.astype(np.float64)
    points = (points - points.mean(0)) / np.ptp(points[:468, 1]) * 80
    return points + np.array([SIDE / 2, SIDE / 2, 0])


class _Head:
    """Class probabilities and a picture with a face, hair on top and something beside the jaw."""

    def __init__(self, landmarks: np.ndarray) -> None:
        low, high = (limit[:2].astype(int) for limit in (landmarks[:468].min(0), landmarks[:468].max(0)))
        self.odds = np.zeros((len(FaceClass), SIDE, SIDE), np.float32)
        self.odds[FaceClass.BACKGROUND] = 1.0
        self.pixels = np.full((SIDE, SIDE, 3), GREY, np.uint8)
        self.face = np.s_[low[1] : high[1], low[0] : high[0]]
        self.top = np.s_[low[1] - 25 : low[1], low[0] - 20 : high[0] + 20]
        self.beside = np.s_[low[1] : high[1], low[0] - 32 : low[0] - 1]
        self.shoulder = np.s_[high[1] + 4 : high[1] + 24, low[0] - 28 : low[0] - 1]
        self.put(self.face, FaceClass.SKIN, 1.0, (220, 180, 160))
        self.put(self.top, FaceClass.HAIR, 0.95, BROWN)

    def put(
        self, where: tuple[slice, slice], face_class: FaceClass, share: float, colour: tuple[int, int, int]
    ) -> None:
        """``share`` of a class, the rest background."""
        self.odds[(slice(None), *where)] = 0.0
        self.odds[(FaceClass.BACKGROUND, *where)] = 1 - share
        self.odds[(face_class, *where)] = share
        self.pixels[where] = colour

    def found(self, landmarks: np.ndarray) -> np.ndarray:
        """The likeliest classes."""
        everywhere = np.ones((SIDE, SIDE), np.float32)
        odds = with_loose_hair(self.odds, everywhere, self.pixels, landmarks)
        np.testing.assert_allclose(odds.sum(0), 1, atol=1e-3)
        return odds.argmax(0)


def test_doubtful_hair_beside_the_face_is_hair_in_the_colour_of_the_hair(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    above_jaw = np.s_[head.beside[0].start : SIDE // 2, head.beside[1]]
    head.put(head.beside, FaceClass.HAIR, 0.4, BROWN)
    assert (head.found(landmarks)[above_jaw] == FaceClass.HAIR).mean() > 0.9
    head.put(head.beside, FaceClass.HAIR, 0.6, RED)
    assert (head.found(landmarks)[above_jaw] == FaceClass.HAIR).mean() < 0.1


def test_long_hair_goes_on_over_the_shoulders_in_its_colour_alone(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    head.put(head.beside, FaceClass.HAIR, 0.6, BROWN)
    head.put(head.shoulder, FaceClass.HAIR, 0.49, BROWN)
    assert (head.found(landmarks)[head.shoulder] == FaceClass.HAIR).mean() > 0.8
    head.put(head.shoulder, FaceClass.HAIR, 0.49, RED)
    assert (head.found(landmarks)[head.shoulder] == FaceClass.HAIR).mean() < 0.1


def test_a_dress_of_another_colour_below_long_hair_is_none(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    head.put(head.beside, FaceClass.HAIR, 0.95, BROWN)
    head.put(head.shoulder, FaceClass.HAIR, 0.75, BLACK)
    assert (head.found(landmarks)[head.shoulder] == FaceClass.HAIR).mean() < 0.1
    assert (head.found(landmarks)[head.beside] == FaceClass.HAIR).mean() > 0.9


def test_strands_tell_hair_from_flat_cloth_of_its_colour(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    strands = np.random.default_rng(0).normal(0, 18, (1, SIDE, 1))
    for where in (head.top, head.beside):
        head.pixels[where] = np.clip(np.array(BROWN) + strands[:, where[1]], 0, 255)
    head.pixels[head.shoulder] = BROWN
    flat = np.s_[SIDE - 40 :, :]  # clothes of which the net is sure
    head.pixels[flat] = BROWN
    evidence = hair_evidence(head.pixels, head.odds, np.ones((SIDE, SIDE), bool))
    assert evidence[head.beside].mean() > 1 and evidence[head.shoulder][10:-4, 8:-8].mean() < -1
    nothing = hair_evidence(head.pixels, np.zeros_like(head.odds), np.ones((SIDE, SIDE), bool))
    assert not nothing.any()


def test_below_short_hair_a_dark_collar_is_none(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    head.put(head.shoulder, FaceClass.HAIR, 0.6, BROWN)
    assert (head.odds.argmax(0)[head.shoulder] == FaceClass.HAIR).all()
    assert not (head.found(landmarks)[head.shoulder] == FaceClass.HAIR).any()


def test_a_hat_in_the_colour_of_the_hair_stays_a_hat(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    hat = np.s_[head.top[0].start - 20 : head.top[0].start, head.top[1]]
    head.put(hat, FaceClass.OCCLUDER, 0.6, BROWN)
    head.odds[(FaceClass.HAIR, *hat)] = 0.35
    head.odds[(FaceClass.BACKGROUND, *hat)] = 0.05
    found = head.found(landmarks)[hat]
    assert (found == FaceClass.OCCLUDER).mean() > 0.9


def test_a_shaded_cheek_in_the_colour_of_the_hair_is_skin(landmarks: np.ndarray) -> None:
    head = _Head(landmarks)
    rows, columns = head.face
    cheek = np.s_[SIDE // 2 + 5 : SIDE // 2 + 20, columns.start + 8 : columns.start + 20]
    head.put(cheek, FaceClass.SKIN, 0.7, BROWN)
    head.odds[(FaceClass.HAIR, *cheek)] = 0.3
    head.odds[(FaceClass.BACKGROUND, *cheek)] = 0.0
    assert (head.found(landmarks)[cheek] == FaceClass.SKIN).all()
    assert rows.start < cheek[0].start


def test_values_follow_the_edges_of_the_picture() -> None:
    picture = np.zeros((64, 64, 3), np.float32)
    picture[:, 30:] = 0.8
    ragged = np.zeros((64, 64), np.float32)
    ragged[:, 34:] = 1.0
    ragged[::8, 26:] = 1.0
    smooth = guided_filter(ragged, picture, 6, 1e-3)
    inside = np.s_[12:52]
    assert (smooth[inside, 32:44] > 0.5).all() and (smooth[inside, 18:28] < 0.5).all()
    flat = guided_filter(np.full((64, 64), 0.3), picture, 6, 1e-3)
    np.testing.assert_allclose(flat, 0.3, atol=1e-4)
