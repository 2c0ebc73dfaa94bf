"""Edges, tones and colours tell a moustache or a beard from bare skin; white hair is less red than its face's skin."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.accessories import facial_hair_scores, lower_face_features
from backend.models.parsing.parsed_labels import with_pale_hair
from backend.photos.collection import FaceClass
from backend.photos.regions import (
    FACE_OVAL,
    FOREHEAD,
    LIPS_OUTER,
    MOUTH_SURROUNDINGS,
    UPPER_LIP_SKIN,
    grown,
    polygon_mask,
)

SIDE = 256
SKIN = np.array([205, 150, 125])


@pytest.fixture
def landmarks() -> np.ndarray:
    """(478, 3) of a face in the middle of the crop."""
    return mean_face(110.0, (SIDE / 2, SIDE / 2))


def _picture(landmarks: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) a bare face on blue, a little noisy."""
    noise = np.random.default_rng(0).normal(0, 4, (SIDE, SIDE, 1))
    face = grown(polygon_mask(landmarks, FACE_OVAL, SIDE), 6)[..., None]
    return np.clip(np.where(face, SKIN, [40, 60, 120]) + noise, 0, 255).astype(np.uint8)


def _with_bristles(pixels: np.ndarray, where: np.ndarray) -> np.ndarray:
    hair = np.random.default_rng(1).normal(55, 30, (SIDE, SIDE, 1))
    return np.where(where[..., None], np.clip(hair, 10, 140), pixels).astype(np.uint8)


def test_dark_bristles_raise_the_odds_where_they_are(landmarks: np.ndarray) -> None:
    bare = _picture(landmarks)
    lip = polygon_mask(landmarks, UPPER_LIP_SKIN, SIDE)
    chin = polygon_mask(landmarks, MOUTH_SURROUNDINGS, SIDE)
    nothing = facial_hair_scores(bare, landmarks)
    moustache = facial_hair_scores(_with_bristles(bare, lip), landmarks)
    beard = facial_hair_scores(_with_bristles(bare, chin), landmarks)
    assert moustache.lip > nothing.lip + 1
    assert beard.chin > nothing.chin + 0.5 and moustache.chin < moustache.lip


def test_a_moustache_as_bright_as_skin_is_seen_by_its_colour(landmarks: np.ndarray) -> None:
    bare = _picture(landmarks)
    lip = polygon_mask(landmarks, UPPER_LIP_SKIN, SIDE) & ~polygon_mask(landmarks, LIPS_OUTER, SIDE)
    pale = np.where(lip[..., None], cv2.cvtColor(cv2.cvtColor(bare, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), bare)
    assert facial_hair_scores(pale, landmarks).lip > facial_hair_scores(bare, landmarks).lip + 1


def test_features_are_the_same_at_another_size(landmarks: np.ndarray) -> None:
    lip = polygon_mask(landmarks, UPPER_LIP_SKIN, SIDE)
    picture = cv2.GaussianBlur(_with_bristles(_picture(landmarks), lip), (0, 0), 2)
    large = cv2.resize(picture, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_CUBIC)
    once, twice = lower_face_features(picture, landmarks), lower_face_features(large, 2 * landmarks)
    assert once.shape == (2484,)
    assert np.abs(once - twice).mean() < 0.03


def test_white_hair_that_was_skin_becomes_hair_and_a_bald_head_does_not(landmarks: np.ndarray) -> None:
    pixels = _picture(landmarks)
    rows = np.arange(SIDE)[:, None]
    top = grown(polygon_mask(landmarks, FACE_OVAL, SIDE), 16) & (rows < landmarks[10, 1] + 4)
    labels = np.full((SIDE, SIDE), FaceClass.BACKGROUND, np.uint8)
    labels[grown(polygon_mask(landmarks, FACE_OVAL, SIDE), 6) | top] = FaceClass.SKIN
    doubtful = np.full((SIDE, SIDE), 0.2, np.float32)
    bald = pixels.copy()
    bald[top] = SKIN
    white = pixels.copy()
    white[top] = (205, 205, 208)
    assert (with_pale_hair(labels, doubtful, bald, landmarks) == labels).all()
    found = with_pale_hair(labels, doubtful, white, landmarks)
    assert (found[top & (rows < landmarks[10, 1] - 3)] == FaceClass.HAIR).mean() > 0.9
    middle = polygon_mask(landmarks, FOREHEAD, SIDE) & (rows > landmarks[10, 1] + 10)
    assert (found[middle] == FaceClass.SKIN).all()
    assert (with_pale_hair(labels, 0 * doubtful, white, landmarks) == labels).all(), "where the net is sure"
    grey = np.repeat(white.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert (with_pale_hair(labels, doubtful, grey, landmarks) == labels).all(), "no colours, no evidence"
