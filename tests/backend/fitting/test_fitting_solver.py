"""The joint solver on landmarks whose truth is known; derivatives of the projection against finite differences."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from view_hand_made import view

from backend.fitting import parameters as unknowns
from backend.fitting import solver
from backend.fitting.detector_model import turn_of
from backend.fitting.options import PriorWeights
from backend.geometry.template import load_template
from backend.photos.faces import mean_landmarks
from protocol.names import ARKIT_INDEX

VIEWS = ((0.0, 0.0), (30.0, 5.0), (-35.0, -5.0), (15.0, 15.0))


def photo(yaw: float, pitch: float, distance: float, expression: np.ndarray, pixels_per_metre: float = 2500.0):
    turn = Rotation.from_euler("yx", [yaw, pitch], degrees=True).as_matrix()
    changes = {"rotation": unknowns.FACING_CAMERA @ turn, "lateral": np.array([0.02, -0.01]), "expression": expression}
    return view(load_template(), yaw, 800, pixels_per_metre, distance, **changes)


def seen(template, truth: solver.FaceEstimate, noise_px: float, seed: int = 0):
    points = unknowns.points_at_landmarks(template, template.landmarks478)
    generator = np.random.default_rng(seed)
    targets = []
    for parameters in truth.photos:
        pixels = parameters.camera().project(points.positions(truth.identity, parameters.expression))[:, :2]
        pixels = pixels + generator.normal(0, noise_px, pixels.shape) if noise_px else pixels
        whitening = np.tile(np.eye(2) / max(noise_px, 0.5), (len(points), 1, 1))
        targets.append(
            solver.PointTargets(points, pixels, whitening, np.ones(len(points)), np.zeros((len(points), 2, 0)))
        )
    return tuple(targets)


def camera_priors(count: int, known_focal: float | None = None) -> tuple[solver.CameraPrior, ...]:
    log_focal = None if known_focal is None else float(np.log(known_focal))
    return tuple(solver.CameraPrior(np.log(1.2), 0.6, 0.5, log_focal, 0.02, 0.01) for _ in range(count))


def mean_face(template, distance: float, *views: tuple[float, float]) -> solver.FaceEstimate:
    """Photos of the mean face without expression, from these yaws and pitches."""
    photos = tuple(photo(yaw, pitch, distance, np.zeros(52)) for yaw, pitch in views)
    return solver.FaceEstimate(np.zeros(len(template.identity_modes)), photos)


def solved(start: solver.FaceEstimate, targets: Sequence[solver.PointTargets], priors: tuple, rounds: int):
    weights = solver.solver_weights(PriorWeights(), solver.standard_normal(len(start.identity)), 3.0)
    return solver.solve(start, tuple(targets), priors, weights, rounds)


def start_from(truth: solver.FaceEstimate) -> solver.FaceEstimate:
    """Far from the truth: mean identity, no expression, turned by 10 degrees, 30 % off in distance."""
    photos = tuple(
        replace(
            p,
            rotation=Rotation.from_rotvec([0.1, 0.15, 0.05]).as_matrix() @ p.rotation,
            log_distance=p.log_distance + 0.3,
            expression=np.zeros(52),
        )
        for p in truth.photos
    )
    return solver.FaceEstimate(np.zeros_like(truth.identity), photos)


def test_recovers_pose_identity_and_expression(template) -> None:
    generator = np.random.default_rng(3)
    identity = generator.normal(0, 1, len(template.identity_modes)) * 0.8
    smile = np.zeros(52)
    smile[[ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["jawOpen"]]] = 0.6, 0.3
    truth = solver.FaceEstimate(identity, tuple(photo(y, p, 0.8, smile if y == 0 else np.zeros(52)) for y, p in VIEWS))
    targets = seen(template, truth, 0.3)
    found = solved(start_from(truth), targets, camera_priors(4), 40)

    face = template.regions["face"] > 0.5
    error = np.tensordot(found.identity - identity, template.identity_modes[:, face], 1)
    size = np.tensordot(identity, template.identity_modes[:, face], 1)
    error, size = error - error.mean(0), size - size.mean(0)
    assert np.linalg.norm(error, axis=-1).mean() < 0.35 * np.linalg.norm(size, axis=-1).mean()
    for got, true in zip(found.photos, truth.photos, strict=True):
        angle = Rotation.from_matrix(got.rotation @ true.rotation.T).magnitude()
        assert np.degrees(angle) < 1.5
        assert abs(np.log(got.distance / true.distance)) < 0.25
    assert abs(found.photos[0].expression[ARKIT_INDEX["mouthSmileLeft"]] - 0.6) < 0.2
    assert found.photos[1].expression[ARKIT_INDEX["mouthSmileLeft"]] < 0.15


def test_known_focal_length_fixes_the_distance(template) -> None:
    truth = mean_face(template, 0.45, (10, 0))
    found = solved(start_from(truth), seen(template, truth, 0.3), camera_priors(1, 2500.0 * 0.45), 40)
    assert found.photos[0].distance == pytest.approx(0.45, rel=0.05)
    assert found.photos[0].focal == pytest.approx(2500.0 * 0.45, rel=0.05)


def test_a_fifth_of_wild_landmarks_changes_little(template) -> None:
    truth = mean_face(template, 0.8, *VIEWS[:2])
    clean = seen(template, truth, 0.5)
    generator = np.random.default_rng(1)
    wild = []
    for target in clean:
        pixels = target.pixels.copy()
        pixels[generator.random(len(pixels)) < 0.2] += 60.0
        wild.append(replace(target, pixels=pixels))
    found = solved(truth, wild, camera_priors(2), 30)
    face = template.regions["face"] > 0.5
    moved = np.tensordot(found.identity, template.identity_modes[:, face], 1)
    assert np.linalg.norm(moved - moved.mean(0), axis=-1).mean() < 0.001
    for got, true in zip(found.photos, truth.photos, strict=True):
        assert np.degrees(Rotation.from_matrix(got.rotation @ true.rotation.T).magnitude()) < 1.5


def test_without_evidence_the_prior_wins(template) -> None:
    truth = mean_face(template, 1.2, (0, 0))
    target = seen(template, truth, 0.5)[0]
    silent = replace(target, information=np.full(len(target.information), 1e-9))
    start = solver.FaceEstimate(np.ones(len(truth.identity)), (replace(truth.photos[0], expression=np.full(52, 0.5)),))
    found = solved(start, (silent,), camera_priors(1), 30)
    assert np.abs(found.identity).max() < 1e-3
    assert found.photos[0].expression.max() < 1e-3


def test_a_photo_without_evidence_takes_the_distance_of_the_others(template) -> None:
    truth = mean_face(template, 0.35, *VIEWS, (0.0, 0.0))
    targets = list(seen(template, truth, 0.3))
    targets[-1] = replace(targets[-1], information=np.full(len(targets[-1].information), 1e-9))
    start = replace(truth, photos=tuple(replace(p, log_distance=float(np.log(1.2))) for p in truth.photos))
    distances = {}
    for shared in (0.0, 0.6):
        priors = tuple(replace(p, log_distance_deviation=0.4, set_deviation=shared) for p in camera_priors(5))
        found = solved(start, targets, priors, 120)
        distances[shared] = found.photos[-1].distance
        assert found.photos[0].distance == pytest.approx(0.35, rel=0.15)
    assert distances[0.0] == pytest.approx(1.2, rel=0.02)
    assert distances[0.6] < 0.65


def test_a_tongue_that_no_landmark_shows_stays_in() -> None:
    information, _ = solver.expression_prior(PriorWeights())
    tongue = ARKIT_INDEX["tongueOut"]
    assert information[tongue] > 100.0 * np.delete(information, tongue).max()


def some_parameters(seed: int = 0) -> unknowns.PhotoParameters:
    generator = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(generator.normal(0, 0.3, 3)).as_matrix()
    return unknowns.PhotoParameters(
        rotation=turn @ unknowns.FACING_CAMERA,
        pivot=generator.normal(0, 0.5, 3),
        lateral=generator.normal(0, 0.05, 2),
        log_scale=np.log(2000.0),
        log_distance=np.log(0.7),
        principal_offset=generator.normal(0, 0.03, 2),
        centre=np.array([320.0, 240.0]),
        size=(640, 480),
        expression=np.zeros(52),
        nuisance=np.zeros(0),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_projection_derivatives_match_finite_differences(seed: int) -> None:
    parameters = some_parameters(seed)
    points = parameters.pivot + np.random.default_rng(seed).normal(0, 0.08, (20, 3))
    pixels, by_point, by_pose = unknowns.project_with_derivatives(parameters, points)
    step = 1e-6
    for axis in range(unknowns.POSE_SIZE):
        delta = np.zeros(unknowns.POSE_SIZE)
        delta[axis] = step
        ahead = unknowns.project_with_derivatives(parameters.moved(delta, np.zeros(52)), points)[0]
        behind = unknowns.project_with_derivatives(parameters.moved(-delta, np.zeros(52)), points)[0]
        np.testing.assert_allclose(by_pose[:, :, axis], (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-2)
    for axis in range(3):
        delta = np.zeros(3)
        delta[axis] = step
        ahead, behind = (unknowns.project_with_derivatives(parameters, points + sign * delta)[0] for sign in (1, -1))
        np.testing.assert_allclose(by_point[:, :, axis], (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(parameters.camera().project(points)[:, :2], pixels, atol=1e-8)


def test_expression_stays_within_bounds() -> None:
    moved = some_parameters().moved(np.zeros(unknowns.POSE_SIZE), np.linspace(-2, 2, 52))
    assert moved.expression.min() == 0.0 and moved.expression.max() == 1.0


def test_turn_of_an_upright_and_of_a_rolled_head() -> None:
    facing = np.diag([1.0, -1.0, -1.0])
    yaw, pitch, upright = turn_of(facing, np.array([0.5, 0.0, 0.5]))
    assert abs(yaw - 45.0) < 1e-6 and abs(pitch) < 1e-6
    np.testing.assert_allclose(upright, np.eye(2), atol=1e-9)
    angle = np.radians(30.0)
    roll = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    _, _, turned = turn_of(roll @ facing, np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(turned, roll[:2, :2], atol=1e-9)


def test_mirror_partners_are_an_involution() -> None:
    partners = mean_landmarks().mirror
    np.testing.assert_array_equal(partners[partners], np.arange(478))
