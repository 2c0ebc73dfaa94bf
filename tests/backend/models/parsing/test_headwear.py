"""A hat that a photo leaves in doubt is told by another photo of the same person with the same colour on top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.accessories import (
    AccessoryScores,
    Headwear,
    look_for_headwear,
    over_face,
    resolve_accessories,
    vote_on_hats,
)
from backend.photos.collection import FaceClass
from backend.photos.regions import above_brows

SIDE = 160
GREY, BROWN, UNKNOWN = (-0.7, 0.1, 0.4), (-2.0, -2.2, -2.5), (np.nan,) * 3
SURE, DOUBTFUL, BARE = Headwear(0.5, GREY), Headwear(-1.2, GREY), Headwear(-4.0, GREY)


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 2) of a face in the middle of the crop."""
    return mean_face(90.0, (SIDE / 2, SIDE / 2))[:, :2]


def doubtful_hat(landmarks: np.ndarray, share: float) -> np.ndarray:
    """(C, SIDE, SIDE) probabilities: skin, and above the brows hair with a ``share`` of hat."""
    odds = np.zeros((len(FaceClass), SIDE, SIDE), np.float32)
    above = above_brows(landmarks, SIDE)
    odds[FaceClass.SKIN] = ~above
    odds[FaceClass.HAIR], odds[FaceClass.OCCLUDER] = above * (1 - share), above * share
    return odds


def is_hat(seen: list[Headwear | None]) -> list[bool]:
    return [one is not None and one.score > 0 for one in vote_on_hats(seen)]


def test_a_doubtful_hat_follows_a_sure_one_of_its_colour() -> None:
    assert is_hat([SURE, DOUBTFUL]) == [True, True]
    assert is_hat([DOUBTFUL, replace(SURE, colour=(-0.3, 0.3, 0.3))]) == [True, True]


@pytest.mark.parametrize("colour", [BROWN, UNKNOWN])
def test_hair_of_another_colour_than_the_hat_stays_hair(colour: tuple[float, float, float]) -> None:
    assert is_hat([SURE, replace(DOUBTFUL, colour=colour)]) == [True, False]


def test_what_looks_like_hair_stays_hair_and_doubts_do_not_add_up() -> None:
    """Black hair under a black cap: the cap comes off."""
    assert is_hat([SURE, BARE]) == [True, False]
    assert is_hat([DOUBTFUL, DOUBTFUL, DOUBTFUL, None]) == [False, False, False, False]
    assert vote_on_hats([SURE, BARE, None, Headwear(np.nan, UNKNOWN)])[0] == SURE


def test_score_and_colour_are_those_of_what_is_above_the_brows(landmarks: np.ndarray) -> None:
    pixels = np.full((SIDE, SIDE, 3), 186, np.uint8)  # linear 0.491
    pixels[above_brows(landmarks, SIDE)] = (186, 128, 92)  # linear 0.491, 0.216, 0.107
    found = look_for_headwear(doubtful_hat(landmarks, 0.2), landmarks, pixels)
    np.testing.assert_allclose(found.colour, np.log([1.0, 0.216 / 0.491, 0.107 / 0.491]), atol=0.02)
    assert found.score == pytest.approx(np.log(0.2 / 0.8) - np.log(0.4 / 0.6), abs=1e-3)
    assert look_for_headwear(doubtful_hat(landmarks, 0.45), landmarks, pixels).score > 0
    bald = np.zeros((len(FaceClass), SIDE, SIDE), np.float32)
    bald[FaceClass.SKIN] = 1.0
    assert np.isnan(look_for_headwear(bald, landmarks, pixels).colour).all()


def test_a_hat_by_vote_is_labelled_as_one(landmarks: np.ndarray) -> None:
    odds, grey = doubtful_hat(landmarks, 0.2), np.full((SIDE, SIDE, 3), 128, np.uint8)
    top = above_brows(landmarks, SIDE) & over_face(landmarks, SIDE)
    alone = AccessoryScores(-9.0, -9.0, -9.0, DOUBTFUL)
    voted = replace(alone, headwear=vote_on_hats([DOUBTFUL, SURE])[0])
    for worn, label in ((alone, FaceClass.HAIR), (voted, FaceClass.OCCLUDER)):
        settled = resolve_accessories(odds, landmarks, grey, worn).argmax(axis=0)
        assert (settled[top] == label).mean() > 0.99
