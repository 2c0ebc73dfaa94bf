"""Bands and crowns in hair are told from braids and shine by their tint, and found as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from backend.photos.collection import FaceClass
from backend.photos.landmarks import mean_landmarks
from backend.photos.regions import FACE_OVAL, above_brows, polygon_mask
from backend.photos.worn_in_hair import worn_in_hair

SIDE = 160
BROWN, SKIN, WALL = (70, 48, 36), (196, 150, 128), (150, 150, 152)
BLUE, LIGHT_BROWN = (60, 90, 190), (150, 112, 90)


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face a little below the middle of the crop."""
    points = mean_landmarks().points[:, :2].astype(np.float64)
    return (points - points.mean(0)) / np.ptp(points[:, 1]) * 80 + (SIDE / 2, SIDE * 0.6)


def _head(landmarks: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A face in brown hair with a band of ``colour`` above the forehead: pixels, labels, and the band's mask."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    head = (columns - SIDE / 2) ** 2 + (rows - SIDE * 0.5) ** 2 < (SIDE * 0.36) ** 2
    oval = polygon_mask(landmarks, FACE_OVAL, SIDE)
    top = np.flatnonzero(oval.any(axis=1))[0]
    band = head & ~oval & above_brows(landmarks, SIDE) & (rows < top - 2) & (rows > top - 14)
    pixels = np.empty((SIDE, SIDE, 3), np.float64)
    pixels[:] = WALL
    pixels[head], pixels[oval], pixels[band] = BROWN, SKIN, colour
    pixels += np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 1))
    labels = np.where(oval, FaceClass.SKIN, np.where(head, FaceClass.HAIR, FaceClass.BACKGROUND)).astype(np.uint8)
    return np.clip(pixels, 0, 255).astype(np.uint8), labels, band


def _probabilities(labels: np.ndarray, occluder: np.ndarray) -> np.ndarray:
    """(C, S, S) that agree with ``labels`` but where an occluder has the probabilities ``occluder`` (S, S)."""
    sure = np.eye(len(FaceClass), dtype=np.float32)[labels].transpose(2, 0, 1) * (1 - occluder)
    sure[FaceClass.OCCLUDER] += occluder
    return sure.astype(np.float32)


def _found(pixels: np.ndarray, labels: np.ndarray, seen: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    opinion = _probabilities(labels, np.where(seen, 0.7, 0.0))
    odds = _probabilities(labels, np.where(seen, 0.2, 0.0))
    return worn_in_hair(opinion, odds, labels, pixels, landmarks)


def test_a_band_of_which_the_net_sees_a_half_is_found_whole(landmarks: np.ndarray) -> None:
    pixels, labels, band = _head(landmarks, BLUE)
    half = band & (np.arange(SIDE) < SIDE / 2)
    found = _found(pixels, labels, half, landmarks)
    assert found[band & ~half].mean() > 0.75  # its border has the tints of both
    assert found[~band].mean() < 0.01


@pytest.mark.parametrize("colour", [BROWN, LIGHT_BROWN], ids=["braids", "shine"])
def test_what_has_the_tint_of_hair_is_hair(landmarks: np.ndarray, colour: tuple[int, int, int]) -> None:
    pixels, labels, band = _head(landmarks, colour)
    assert not _found(pixels, labels, band, landmarks).any()


def test_a_forehead_under_thin_hair_is_nothing_worn(landmarks: np.ndarray) -> None:
    pixels, labels, band = _head(landmarks, SKIN)
    assert not _found(pixels, labels, band, landmarks).any()


def test_colours_alone_make_no_band(landmarks: np.ndarray) -> None:
    """Dyed strands have another tint, too; only what the net sees as well is worn."""
    pixels, labels, _ = _head(landmarks, BLUE)
    assert not _found(pixels, labels, np.zeros((SIDE, SIDE), bool), landmarks).any()


def test_without_hair_or_skin_there_is_nothing_to_compare_with(landmarks: np.ndarray) -> None:
    pixels, labels, band = _head(landmarks, BLUE)
    for missing in (FaceClass.HAIR, FaceClass.SKIN):
        without = np.where(labels == missing, FaceClass.BACKGROUND, labels).astype(np.uint8)
        assert not _found(pixels, without, band, landmarks).any()
