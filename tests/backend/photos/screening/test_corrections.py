"""Corrections in a file: what is read, and what is said of what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plain_photo import plain_photo

from backend.errors import LikenessError
from backend.photos.collection import PhotoCollection, PhotoVerdict
from backend.photos.screening.corrections import (
    LEFT_OUT,
    CorrectedPoint,
    PhotoCorrections,
    check_corrections,
    left_out_verdicts,
    read_corrections,
    with_corrections,
)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "fixed.json"
    photos = [{"name": "a.jpg", "points": [[152, 10, 20.5]]}, {"name": "b.jpg", "use": "texture"}]
    file.write_text(json.dumps({"version": 1, "photos": photos}))
    first, second = read_corrections(file)
    assert first == PhotoCorrections("a.jpg", "both", (CorrectedPoint(152, 10.0, 20.5),))
    assert second == PhotoCorrections("b.jpg", "texture")


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        '{"version": 2, "photos": []}',
        '{"version": 1, "photos": [{"name": "a", "use": "hair"}]}',
        '{"version": 1, "photos": [{"name": "a", "points": [[478, 1, 1]]}]}',
        '{"version": 1, "photos": [{"name": "a", "points": [[3, 1]]}]}',
        '{"version": 1, "photos": [{"name": "a", "dots": []}]}',
    ],
)
def test_another_file_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "fixed.json"
    file.write_text(content)
    with pytest.raises(LikenessError, match=r"fixed\.json is not a file of corrections") as caught:
        read_corrections(file)
    assert caught.value.code == "usage" and "docs/files.md" in caught.value.advice


@pytest.mark.parametrize(
    ("corrections", "said"),
    [
        ((PhotoCorrections("c"),), "No photo is called 'c'"),
        ((PhotoCorrections("a"), PhotoCorrections("a")), "a is corrected twice"),
        ((PhotoCorrections("a", points=(CorrectedPoint(1, 1, 1), CorrectedPoint(1, 2, 2))),), "has two places"),
        ((PhotoCorrections("a", "texture"), PhotoCorrections("b", "neither")), "used for the shape"),
        ((PhotoCorrections("a", "shape"), PhotoCorrections("b", "shape")), "used for the texture"),
    ],
)
def test_what_does_not_fit_the_photos_is_said(corrections: tuple[PhotoCorrections, ...], said: str) -> None:
    with pytest.raises(LikenessError, match=said):
        check_corrections(corrections, ["a", "b"])


def test_a_point_outside_of_the_picture_is_said() -> None:
    collection = PhotoCollection((plain_photo((60, 80), name="a"),))
    with pytest.raises(LikenessError, match="Landmark 7 of a lies outside"):
        with_corrections(collection, (PhotoCorrections("a", points=(CorrectedPoint(7, 10_000, 5),)),))


def test_points_go_into_the_crop_and_the_detectors_are_kept() -> None:
    face = plain_photo((100, 100), name="a", crop_scale=0.5, crop_offset=(20.0, 10.0), source_size=(300, 300))
    (found,) = with_corrections(
        PhotoCollection((face,)), (PhotoCorrections("a", points=(CorrectedPoint(7, 40.0, 50.0),)),)
    ).faces
    np.testing.assert_allclose(found.landmarks[7, :2], [10.0, 20.0])
    np.testing.assert_array_equal(found.corrected.found, face.landmarks[:, :2])


def test_a_photo_that_was_left_out_is_in_the_report_in_its_place() -> None:
    verdicts = left_out_verdicts([PhotoVerdict("b", True, "")], ["a", "b"], (PhotoCorrections("a", "neither"),))
    assert [(one.name, one.used, one.reason) for one in verdicts] == [("a", False, LEFT_OUT), ("b", True, "")]
