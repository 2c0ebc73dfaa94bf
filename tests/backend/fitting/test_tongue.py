"""A tongue is told from teeth, lips and a dark mouth by where its colour lies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.fitting.detector_model import LOWER_LINE, UPPER_LINE, tongue_of_photo, tongue_out
from backend.photos.collect import CollectOptions, collect
from backend.photos.formats import PhotoSource

SKIN, TEETH, DARK, TONGUE = (205, 165, 145), (225, 220, 210), (45, 20, 20), (205, 125, 120)
LEFT, RIGHT, TOP, BOTTOM = 45.0, 99.0, 90.0, 116.0


def _points(bottom: float = BOTTOM) -> np.ndarray:
    """Landmarks of a mouth that is a box from ``TOP`` to ``bottom``; the cheeks lie on skin."""
    points = np.full((478, 2), 30.0)
    along = np.linspace(LEFT, RIGHT, len(UPPER_LINE))
    points[list(UPPER_LINE)] = np.stack([along, np.full_like(along, TOP)], axis=1)
    points[list(LOWER_LINE)[1:-1]] = np.stack([along, np.full_like(along, bottom)], axis=1)[1:-1]
    points[[61, 291]] = [[LEFT - 2, TOP], [RIGHT + 2, TOP]]
    return points


def _face(inside: tuple[int, int, int]) -> np.ndarray:
    picture = np.full((144, 144, 3), SKIN, np.uint8)
    cv2.rectangle(picture, (int(LEFT), int(TOP)), (int(RIGHT), int(BOTTOM)), inside, -1)
    return picture


def _with_tongue(left: int, right: int, top: int = 96, bottom: int = 130) -> np.ndarray:
    picture = _face(DARK)
    cv2.rectangle(picture, (left, top), (right, bottom), TONGUE, -1)
    return picture


def test_a_tongue_across_the_lower_lip_is_out() -> None:
    assert tongue_out(_with_tongue(56, 88), _points()) == 1.0


@pytest.mark.parametrize("inside", [DARK, TEETH])
def test_teeth_and_a_dark_mouth_are_no_tongue(inside: tuple[int, int, int]) -> None:
    assert tongue_out(_face(inside), _points()) == 0.0


def test_a_tongue_that_lies_behind_the_lower_teeth_is_in() -> None:
    picture = _with_tongue(56, 88, 96, 109)
    cv2.rectangle(picture, (int(LEFT), 110), (int(RIGHT), int(BOTTOM)), TEETH, -1)
    assert tongue_out(picture, _points()) == 0.0


def test_closed_lips_are_no_tongue() -> None:
    assert tongue_out(_with_tongue(45, 99, 88, 130), _points(bottom=TOP + 4)) == 0.0


def test_it_comes_out_gradually_and_on_either_side_alike() -> None:
    widths = [tongue_out(_with_tongue(72 - half, 72 + half), _points()) for half in (3, 7, 9, 14)]
    assert widths == sorted(widths) and widths[0] == 0.0 and 0.0 < widths[1] < 1.0
    points = _points()
    assert tongue_out(_with_tongue(52, 68), points) == pytest.approx(tongue_out(_with_tongue(76, 92), points), abs=0.25)


@pytest.mark.photos
@pytest.mark.slow
def test_of_one_womans_photos_one_shows_her_tongue(photo_dir: Path) -> None:
    paths = sorted((photo_dir / "people" / "emotions_a").glob("*.jpg"))
    if len(paths) < 8:
        pytest.skip("needs the photographs people/emotions_a")
    found = collect([PhotoSource(path.name, path=path) for path in paths], options=CollectOptions(surface=False))
    assert {face.name for face in found.faces if tongue_of_photo(face) > 0.0} == {"6.jpg"}
