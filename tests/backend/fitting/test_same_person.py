"""Two photos of two people, and what the fit says where it doubts a photo's landmarks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.fitting.fit import run_landmark_stage
from backend.fitting.options import fit_options_for
from backend.fitting.stages import FitState, FittedPhoto
from backend.geometry.template import load_template
from backend.photos.collect import collect
from backend.photos.collection import CorrectedLandmarks, PhotoFace, PhotoSource
from backend.rendering.camera import Camera

STRANGER = Path(__file__).with_name("stranger.jpg")
"""Another person who does not exist, drawn by the same program."""


@pytest.fixture(scope="module")
def faces(demo_photos: list[Path]) -> dict[str, PhotoFace]:
    """Two photos of one person, and one of another."""
    photos = {"one": demo_photos[0], "again": demo_photos[1], "other": STRANGER}
    return {name: collect([PhotoSource(name, path.read_bytes())]).faces[0] for name, path in photos.items()}


def fitted(*faces: PhotoFace) -> FitState:
    return run_landmark_stage(load_template(), faces, fit_options_for("fast"))


def test_two_photos_of_two_people_are_used_with_a_word(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["one"], faces["other"])
    assert len(state.faces) == 2 and not state.rejected
    assert [name for name, _ in state.doubts] == ["one", "other"]
    assert all("two people" in sentence for _, sentence in state.doubts)


def test_two_photos_of_one_person_are_not_doubted(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["one"], faces["again"])
    assert len(state.faces) == 2 and not state.rejected and not state.doubts


def test_the_odd_one_of_three_is_left_out(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["one"], faces["other"], faces["again"])
    assert [face.name for face in state.faces] == ["one", "again"]
    assert [name for name, _ in state.rejected] == ["other"]
    assert "another person" in state.rejected[0][1]


def test_photos_that_a_person_has_corrected_are_not_judged(faces: dict[str, PhotoFace]) -> None:
    nothing = np.zeros((0, 2))
    chin = CorrectedLandmarks(
        np.array([152]), faces["other"].landmarks[[152], :2], faces["other"].landmarks[:, :2], np.zeros(0, int), nothing
    )
    state = fitted(faces["one"], replace(faces["other"], corrected=chin))
    assert not state.doubts and not state.rejected


@pytest.mark.parametrize(("error", "doubted"), [(1.5, False), (3.6, False), (4.6, True), (13.0, True)])
def test_landmarks_three_times_as_far_off_as_usual_are_told(error: float, doubted: bool) -> None:
    camera = Camera(np.eye(3), np.eye(4), (1, 1))
    photo = FittedPhoto("a", camera, np.zeros(52), np.zeros((0, 3)), np.zeros((9, 3)), error, 0.0)
    assert bool(photo.doubt) == doubted
    assert not doubted or f"{error:.0f} %" in photo.doubt
