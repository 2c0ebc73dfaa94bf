"""Hair, ears and glasses of another head in the crop are background; one's own stay."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.models.parsing.apply import label_face, without_other_heads
from backend.photos.collection import FaceClass
from backend.photos.faces import crop_head, detect_faces, find_landmarks
from backend.photos.formats import PhotoSource
from backend.photos.reading import read_photo

SIDE = 384


@pytest.fixture(scope="module")
def head(photo_dir: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A woman's head crop, the landmarks in it and its labels."""
    path = sorted((photo_dir / "people" / "emotions_a").glob("*"))[0]
    pixels = read_photo(PhotoSource.from_path(path)).pixels
    landmarks = find_landmarks(pixels, detect_faces(pixels)[0])
    crop = crop_head(pixels, landmarks, max_side=SIDE)
    places = crop.to_crop(landmarks)
    return crop.pixels, places, label_face(crop.pixels, places)


def test_alone_nothing_changes(head: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, landmarks, labels = head
    np.testing.assert_array_equal(without_other_heads(labels, pixels, landmarks), labels)


def test_what_another_head_wears_is_background(head: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pixels, landmarks, labels = head
    half = SIDE // 2
    face = landmarks[:468, :2]
    part = pixels[: int(face[:, 1].max()), int(face[:, 0].min()) - 20 : int(face[:, 0].max()) + 20]
    small = cv2.resize(part, (half // 2, round(part.shape[0] * half / 2 / part.shape[1])))
    picture, both = np.full((SIDE, 3 * half, 3), 128, np.uint8), np.zeros((SIDE, 3 * half), np.uint8)
    picture[:, half // 2 : half // 2 + SIDE], both[:, half // 2 : half // 2 + SIDE] = pixels, labels
    beside = np.s_[10 : 10 + small.shape[0], 3 * half - small.shape[1] :]
    picture[beside], both[beside] = small, FaceClass.HAIR
    square = cv2.copyMakeBorder(picture, 0, half, 0, 0, cv2.BORDER_REPLICATE)
    wide = cv2.copyMakeBorder(both, 0, half, 0, 0, cv2.BORDER_CONSTANT, value=0)
    found = without_other_heads(wide, square, landmarks + np.array([half // 2, 0, 0]))
    own = np.zeros(wide.shape, dtype=bool)
    own[:SIDE, half // 2 : beside[1].start] = True
    assert (found[beside] == FaceClass.HAIR).mean() < 0.15
    assert (found[own] == wide[own]).mean() > 0.98
