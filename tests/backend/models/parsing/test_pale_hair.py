"""White hair is less red than its face's skin."""

from __future__ import annotations

import numpy as np
import pytest
from mean_face import mean_face

from backend.models.parsing.apply import with_pale_hair
from backend.photos.collection import FaceClass
from backend.photos.regions import FACE_OVAL, FOREHEAD, grown, polygon_mask

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
