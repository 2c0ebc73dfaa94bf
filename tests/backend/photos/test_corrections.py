"""Corrections in a file: what is read, and what is said of what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from plain_photo import mask_of, plain_photo

from backend.errors import LikenessError
from backend.photos import corrections as correcting
from backend.photos.collection import FaceClass, PhotoCollection, PhotoFace, PhotoVerdict


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "fixed.json"
    photos = [{"name": "a.jpg", "points": [[152, 10, 20.5]]}, {"name": "b.jpg", "use": "texture"}]
    file.write_text(json.dumps({"version": 1, "photos": photos}))
    first, second = correcting.read_corrections(file)
    assert first == correcting.PhotoCorrections("a.jpg", "both", (correcting.CorrectedPoint(152, 10.0, 20.5),))
    assert second == correcting.PhotoCorrections("b.jpg", "texture")


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        '{"version": 2, "photos": []}',
        '{"version": 1, "photos": [{"name": "a", "use": "hair"}]}',
        '{"version": 1, "photos": [{"name": "a", "points": [[489, 1, 1]]}]}',
        '{"version": 1, "photos": [{"name": "a", "points": [[3, 1]]}]}',
        '{"version": 1, "photos": [{"name": "a", "dots": []}]}',
    ],
)
def test_another_file_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "fixed.json"
    file.write_text(content)
    with pytest.raises(LikenessError, match=r"fixed\.json is not a file of corrections") as caught:
        correcting.read_corrections(file)
    assert caught.value.code == "usage" and "docs/files.md" in caught.value.advice


@pytest.mark.parametrize(
    ("corrections", "said"),
    [
        ((correcting.PhotoCorrections("c"),), "No photo is called 'c'"),
        ((correcting.PhotoCorrections("a"), correcting.PhotoCorrections("a")), "a is corrected twice"),
        (
            (
                correcting.PhotoCorrections(
                    "a", points=(correcting.CorrectedPoint(1, 1, 1), correcting.CorrectedPoint(1, 2, 2))
                ),
            ),
            "has two places",
        ),
        (
            (correcting.PhotoCorrections("a", "texture"), correcting.PhotoCorrections("b", "neither")),
            "used for the shape",
        ),
        (
            (correcting.PhotoCorrections("a", "shape"), correcting.PhotoCorrections("b", "shape")),
            "used for the texture",
        ),
    ],
)
def test_what_does_not_fit_the_photos_is_said(corrections: tuple[correcting.PhotoCorrections, ...], said: str) -> None:
    with pytest.raises(LikenessError, match=said):
        correcting.check_corrections(corrections, ["a", "b"])


def test_a_point_outside_of_the_picture_is_said() -> None:
    collection = PhotoCollection((plain_photo((60, 80), name="a"),))
    with pytest.raises(LikenessError, match="Landmark 7 of a lies outside"):
        correcting.with_corrections(
            collection, (correcting.PhotoCorrections("a", points=(correcting.CorrectedPoint(7, 10_000, 5),)),)
        )


def test_points_go_into_the_crop_and_the_detectors_are_kept() -> None:
    face = plain_photo((100, 100), name="a", crop_scale=0.5, crop_offset=(20.0, 10.0), source_size=(300, 300))
    (found,) = correcting.with_corrections(
        PhotoCollection((face,)),
        (correcting.PhotoCorrections("a", points=(correcting.CorrectedPoint(7, 40.0, 50.0),)),),
    ).faces
    np.testing.assert_allclose(found.landmarks[7, :2], [10.0, 20.0])
    np.testing.assert_array_equal(found.corrected.detected, face.landmarks[:, :2])


def test_a_photo_that_was_left_out_is_in_the_report_in_its_place() -> None:
    verdicts = correcting.left_out_verdicts(
        [PhotoVerdict("b", True, "")], ["a", "b"], (correcting.PhotoCorrections("a", "neither"),)
    )
    assert [(one.name, one.used, one.reason) for one in verdicts] == [
        ("a", False, correcting.LEFT_OUT),
        ("b", True, ""),
    ]


@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_a_mask_says_which_cells_are_hidden(hidden: np.ndarray) -> None:
    again = msgspec.json.decode(msgspec.json.encode(mask_of(hidden)), type=correcting.PhotoMask)
    np.testing.assert_array_equal(again.cells(), hidden)


@pytest.mark.parametrize(
    "mask",
    [
        {"width": 4, "height": 2, "runs": [3, 4]},
        {"width": 257, "height": 1, "runs": [257]},
        {"width": 4, "height": 2, "runs": [9, -1]},
        {"width": 4, "height": 2},
        {"width": 1, "height": 1, "runs": [0] * 3001 + [1]},
    ],
)
def test_another_mask_is_refused(tmp_path: Path, mask: dict[str, object]) -> None:
    file = tmp_path / "fixed.json"
    file.write_text(json.dumps({"version": 1, "photos": [{"name": "a", "mask": mask}]}))
    with pytest.raises(LikenessError, match=r"fixed\.json is not a file of corrections"):
        correcting.read_corrections(file)


def photo_to_mask() -> PhotoFace:
    """A crop of a photo of 400 x 200 pixels, with landmarks all over it."""
    places = np.random.default_rng(3).uniform(0, 128, (478, 3)).astype(np.float32)
    return plain_photo(
        (128, 128), name="a", source_size=(400, 200), crop_scale=0.5, crop_offset=(40.0, -20.0), landmarks=places
    )


def test_what_is_masked_is_an_occluder_and_its_landmarks_are_unseen() -> None:
    face = photo_to_mask()
    hidden = np.zeros((50, 100), bool)
    hidden[10:20, 30:60] = True  # pixels 120 to 240 and 40 to 80 of the photo: 40 to 100 and 30 to 50 of the crop
    (masked,) = correcting.with_corrections(
        PhotoCollection((face,)), (correcting.PhotoCorrections("a", mask=mask_of(hidden)),)
    ).faces
    expected = face.labels.copy()
    expected[30:50, 40:100] = FaceClass.OCCLUDER
    np.testing.assert_array_equal(masked.labels, expected)
    assert masked.pixels is face.pixels
    column, row = face.landmarks[:, 0], face.landmarks[:, 1]
    within = (column >= 40) & (column < 100) & (row >= 30) & (row < 50)
    np.testing.assert_array_equal(masked.unseen, within)
    chosen = int(np.flatnonzero(within)[0])
    points = (correcting.CorrectedPoint(chosen, 200.0, 60.0),)
    corrections = (correcting.PhotoCorrections("a", points=points, mask=mask_of(hidden)),)
    (corrected,) = correcting.with_corrections(PhotoCollection((face,)), corrections).faces
    assert not corrected.unseen[chosen] and corrected.unseen.sum() == within.sum() - 1


@pytest.mark.parametrize(
    ("shape", "said"), [((50, 50), "which is not the photo's shape"), ((50, 100), "covers nearly the whole face")]
)
def test_a_mask_that_cannot_be_used_is_named(shape: tuple[int, int], said: str) -> None:
    face = photo_to_mask()
    with pytest.raises(LikenessError, match=said) as caught:
        correcting.with_corrections(
            PhotoCollection((face,)), (correcting.PhotoCorrections("a", mask=mask_of(np.ones(shape, bool))),)
        )
    assert caught.value.code == "usage" and caught.value.advice
