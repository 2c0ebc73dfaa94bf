"""The encoder's face as the fit's first estimate."""

from dataclasses import replace

import numpy as np
import pytest
from encoded_hand_made import encoded_of, nothing_known, photo_of
from scipy.spatial.transform import Rotation

from backend.fitting import fit
from backend.fitting.detector_model import initial_parameters
from backend.fitting.landmark_targets import landmark_model
from backend.fitting.options import EncodedStage, FitOptions, LandmarkStage, PriorWeights
from backend.fitting.solver import IdentityPrior
from protocol.names import ARKIT_INDEX

STAGE, PRIOR = EncodedStage(), PriorWeights()


def person(template, size: float = 1.5) -> np.ndarray:
    """A person in the fit's modes: a few of the first ones."""
    identity = np.zeros(len(template.identity_modes))
    identity[:6] = size * np.array([1.0, -0.7, 0.5, 0.9, -1.0, 0.6])
    return identity


def face_mm(template, first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance over the face of two identities."""
    face = template.regions["face"] > 0.5
    return 1e3 * np.linalg.norm(np.tensordot(first - second, template.identity_modes[:, face], 1), axis=-1).mean()


def test_a_face_in_the_modes_comes_back_and_less_of_it_where_it_is_less_trusted(template) -> None:
    truth = person(template)
    encoded = encoded_of(template, truth, [])
    found = fit.projected_identity(template, encoded, STAGE, 1.0)
    assert face_mm(template, found, truth) < 0.05 * face_mm(template, 0 * truth, truth)
    doubtful = fit.projected_identity(template, encoded, replace(STAGE, deviation_mm=200.0), 1.0)
    assert np.linalg.norm(doubtful) < 0.7 * np.linalg.norm(found)


def test_independent_terms_on_the_identity_add() -> None:
    some = np.random.default_rng(0).normal(size=3)
    belief = IdentityPrior(2.0 * np.eye(3), np.ones(3))
    both = belief.combined_with(IdentityPrior(np.eye(3), some))
    assert both.cost(some) == pytest.approx(belief.cost(some) + 0.5 * some @ some - some @ some)
    assert belief.combined_with(None) is belief


def test_expressions_come_back_as_weights_within_their_bounds(template) -> None:
    weights = np.zeros(52)
    weights[[ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthSmileLeft"]]] = 0.6, 0.5
    photo = photo_of(template, person(template), weights, 0.0, 1.0)[1]
    sure = replace(STAGE, expression_information=5000.0)
    found = fit.projected_expression(template, photo, PRIOR, sure)
    assert found.min() >= 0 and found.max() <= 1
    assert found[ARKIT_INDEX["jawOpen"]] == pytest.approx(0.6, abs=0.05)
    assert found[ARKIT_INDEX["mouthSmileLeft"]] > 4 * found[ARKIT_INDEX["mouthSmileRight"]] > -1
    beyond = replace(photo, expression=3 * photo.expression)
    assert fit.projected_expression(template, beyond, PRIOR, sure).max() == pytest.approx(1.0)
    shy = fit.projected_expression(template, photo, PRIOR, replace(STAGE, expression_information=0.001))
    assert shy.max() == 0, "the prior's pull to zero wins where little is known"


def test_the_pose_is_the_one_that_explains_the_landmarks(template) -> None:
    truth, weights = person(template), np.zeros(52)
    face, photo = photo_of(template, truth, weights, 25.0, 0.6)
    cold = initial_parameters(template, face, PRIOR, 0)
    started = fit.started_photo(template, face, cold, photo, truth, weights, PRIOR)
    assert started.distance == pytest.approx(0.6, rel=0.05), "the encoder's distance explains the perspective"
    turn = Rotation.from_matrix(started.rotation @ photo.rotation.T).magnitude()
    assert np.degrees(turn) < 1
    wrong = replace(photo, rotation=np.diag([1.0, -1.0, -1.0]), distance=1.2)
    nothing = fit.started_photo(template, face, cold, wrong, -2 * truth, weights, PRIOR)
    assert nothing is cold


def test_a_started_fit_reaches_in_few_steps_what_a_cold_one_does_not(template) -> None:
    truth = person(template, 2.0)
    weights = np.zeros(52)
    weights[ARKIT_INDEX["jawOpen"]] = 0.5
    pairs = [
        photo_of(template, truth, weights * (number > 0), yaw, 0.8, number)
        for number, yaw in enumerate((0.0, 25.0, -25.0))
    ]
    faces = tuple(face for face, _ in pairs)
    encoded = encoded_of(template, truth, [photo for _, photo in pairs])
    model = landmark_model(template)
    options = FitOptions(encoded=replace(STAGE, outlier_scales=(1.0,), iterations=1))
    found = fit.fit_landmarks(template, model, faces, options, None, encoded)
    ignorant = fit.fit_landmarks(template, model, faces, options, None, nothing_known(encoded))
    off, cold = (face_mm(template, state.estimate.identity, truth) for state in (found, ignorant))
    assert off < 0.7 * cold


def test_a_photo_is_left_out_only_where_a_cold_fit_leaves_it_out_too(template, monkeypatch) -> None:
    truth, weights = person(template), np.zeros(52)
    pairs = [photo_of(template, truth, weights, yaw, 1.0, number) for number, yaw in enumerate((0.0, 20.0, -20.0))]
    faces = tuple(face for face, _ in pairs)
    encoded = encoded_of(template, truth, [photo for _, photo in pairs])
    ways: list[bool] = []
    quick = replace(STAGE, outlier_scales=(1.0,), iterations=1)
    options = FitOptions(landmarks=LandmarkStage(iterations=2), encoded=quick)

    def doubted(state) -> np.ndarray:
        ways.append(state.started)
        return np.array([False, False, state.started])

    monkeypatch.setattr(fit, "_outliers", doubted)
    state = fit.run_landmark_stage(template, faces, options, None, encoded)
    assert ways == [True, False] and not state.rejected and not state.started and len(state.faces) == 3
    monkeypatch.setattr(fit, "_outliers", lambda state: np.array([False, False, True]))
    state = fit.run_landmark_stage(template, faces, options, None, encoded)
    assert [name for name, _ in state.rejected] == [faces[2].name] and not state.started
    monkeypatch.setattr(fit, "_outliers", lambda state: np.zeros(3, bool))
    assert fit.run_landmark_stage(template, faces, options, None, encoded).started
