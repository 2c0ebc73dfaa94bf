"""Two photos of two people, and two of one beside one of another."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from backend.fitting.fit import run_landmark_stage
from backend.fitting.options import fit_options_for
from backend.fitting.stages import FitState
from backend.geometry.template import load_template
from backend.photos.collect import collect
from backend.photos.collection import CorrectedLandmarks, PhotoFace
from backend.photos.formats import PhotoSource

SEEDS = (5, 33)
"""Two synthetic people who look alike to the identity descriptor."""


@pytest.fixture(scope="module")
def faces() -> dict[str, PhotoFace]:
    """Two photos of one person, and one of another."""
    from trainer.heads.demo_person import demo_photographs, demo_shots, random_person

    found = {}
    for seed, count in zip(SEEDS, (2, 1), strict=True):
        shots = tuple(replace(shot, size=(384, 448)) for shot in demo_shots(count, seed))
        for number, photograph in enumerate(demo_photographs(random_person(seed), shots, samples=2)):
            name = f"{seed}_{number}"
            face = collect([PhotoSource(name, io.BytesIO(photograph.jpeg).read())]).faces[0]
            found[name] = face
    return found


def fitted(*faces: PhotoFace) -> FitState:
    return run_landmark_stage(load_template(), faces, fit_options_for("fast"))


def test_two_photos_of_two_people_are_used_with_a_word(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["5_0"], faces["33_0"])
    assert len(state.faces) == 2 and not state.rejected
    assert [name for name, _ in state.doubts] == ["5_0", "33_0"]
    assert all("two people" in sentence for _, sentence in state.doubts)


def test_two_photos_of_one_person_are_not_doubted(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["5_0"], faces["5_1"])
    assert len(state.faces) == 2 and not state.rejected and not state.doubts


def test_the_odd_one_of_three_is_left_out(faces: dict[str, PhotoFace]) -> None:
    state = fitted(faces["5_0"], faces["33_0"], faces["5_1"])
    assert [face.name for face in state.faces] == ["5_0", "5_1"]
    assert [name for name, _ in state.rejected] == ["33_0"]
    assert "another person" in state.rejected[0][1]


def test_photos_that_a_person_has_corrected_are_not_judged(faces: dict[str, PhotoFace]) -> None:
    nothing = np.zeros((0, 2))
    chin = CorrectedLandmarks(
        np.array([152]), faces["33_0"].landmarks[[152], :2], faces["33_0"].landmarks[:, :2], np.zeros(0, int), nothing
    )
    state = fitted(faces["5_0"], replace(faces["33_0"], corrected=chin))
    assert not state.doubts and not state.rejected
