"""Where hair ends on the forehead, when the photos differ."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backend.photos.collection import FaceClass
from backend.texture.hair import hair_evidence
from backend.texture.photo_hair import PhotoHair

SIZE, HIGH, LOW = 128, 50, 80  # rows of the lines without and with a fringe
BROWN, SKIN = np.log([0.03, 0.02, 0.014]), np.log([0.48, 0.29, 0.21])


def line(fringes: list[bool]) -> float:
    """The lowest row with hair of photos with and without a fringe."""
    rows = np.indices((SIZE, SIZE))[0].ravel()
    unwraps = [
        SimpleNamespace(
            labels=np.where(rows < (LOW if fringe else HIGH), FaceClass.HAIR, FaceClass.SKIN).astype(np.uint8),
            seen=np.ones(SIZE * SIZE, np.float32),
        )
        for fringe in fringes
    ]
    scalp = np.clip((100 - rows) / 100, 0, 1).astype(np.float32)
    count = len(fringes)
    evidence = hair_evidence(
        [PhotoHair(0.5, BROWN)] * count,
        unwraps,
        [1.0] * count,
        scalp,
        np.ones(SIZE * SIZE, np.float32),
        lambda values: values.reshape(SIZE, SIZE, -1),
        SKIN,
    )
    hair = evidence.cover[:, 24:104] > 0.5
    return float(np.median(SIZE - 1 - np.argmax(hair[::-1], axis=0)))


def test_a_fringe_in_one_photo_of_three_makes_no_low_hair_line() -> None:
    """Hair lines were as low as in the photo whose hair falls lowest."""
    assert abs(line([True, False, False]) - HIGH) <= 2


def test_a_fringe_in_two_photos_of_three_is_drawn() -> None:
    assert abs(line([True, True, False]) - LOW) <= 2
    assert abs(line([True, True, True]) - LOW) <= 2
