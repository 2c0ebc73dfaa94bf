"""The focal length that the strength of a face's perspective tells, and frames far from the picture's middle."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.expression import calibrate as expression_calibrate
from backend.expression.follow import face_in_frame, find_face, frame_face
from backend.expression.solver import read_subject_face
from backend.expression.subject import subject_of
from backend.photos.faces import detect_faces
from trainer.methods.expressions.evaluate import SEED, known_pictures
from trainer.people.source import PeopleConfig


def costs_lowest_at(metres: float, metres_at_one: float) -> np.ndarray:
    """Mean costs of a picture whose points look as from ``metres`` away."""
    off = np.log(metres_at_one * np.array(expression_calibrate.FOCAL_STEPS) / metres) / 0.2
    return 0.5 * off**2


@pytest.mark.parametrize("true", [0.3, 0.6, 1.2])
def test_what_the_points_hide_of_the_perspective_is_given_back(true: float) -> None:
    seen = 1.0 / (
        expression_calibrate.SHOWN_PERSPECTIVE / true
        + (1.0 - expression_calibrate.SHOWN_PERSPECTIVE) / expression_calibrate.USUAL_METRES
    )
    for assumed in (0.8 * true, true, 1.5 * true):
        step = expression_calibrate.most_likely_focal(costs_lowest_at(seen, assumed), assumed, 10.0)
        assert step * assumed == pytest.approx(true, rel=0.1)


def test_costs_that_say_nothing_leave_what_is_believed() -> None:
    assert expression_calibrate.most_likely_focal(
        np.zeros(len(expression_calibrate.FOCAL_STEPS)), 0.5, 0.3
    ) == pytest.approx(1.0, abs=0.01)


def test_a_frame_is_solved_with_the_takes_focal_length_from_its_start() -> None:
    """A head far from the picture's middle was looked for where another focal length had it, and then lost."""
    torch.set_num_threads(1)
    known = known_pictures(PeopleConfig(size=160, seed=SEED, photos=1, clips=True, film=False), 1001)
    (picture,) = known.pictures
    beside = np.pad(picture, ((0, 0), (0, 2 * picture.shape[1]), (0, 0)), "edge")  # the head is on the left now
    found = find_face(beside, detect_faces(beside)[0])
    assert found is not None
    seen = frame_face(face_in_frame("0", beside, found.landmarks, focal_px=known.focal_px), found.surface)
    subject = subject_of(known.neutral)
    calibration = expression_calibrate.calibrate(subject, (seen,))
    long = float(np.log(3.0 * known.focal_px))
    prior = replace(calibration.prior, camera=replace(calibration.prior.camera, log_focal=long))
    solved = expression_calibrate.solve_in_take(
        subject, seen, read_subject_face(subject, seen.evidence), prior
    ).parameters
    camera = solved.camera()
    middle = camera.intrinsics @ solved.pivot_in_camera
    apart = np.linalg.norm(middle[:2] / middle[2] - found.landmarks[:, :2].mean(0))
    assert apart < 0.2 * np.ptp(found.landmarks[:, 0])
