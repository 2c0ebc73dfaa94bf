"""The canonical surface in the fit: its place on the head, what it says about the identity, and the first guess."""

from dataclasses import replace

import numpy as np
import pytest
from canonical_hand_made import canonical_of, made_photo, still_photo, usual_place
from scipy.spatial.transform import Rotation

from backend.fitting import canonical as registration
from backend.fitting.detector_model import initial_parameters
from backend.fitting.options import CanonicalStage, PriorWeights
from backend.fitting.solver import IdentityPrior
from backend.photos.faces import Window
from backend.rendering.spherical_harmonics import shade

STAGE = CanonicalStage(shown_share=1.0, depth_information=2000.0, normal_information=2000.0)


@pytest.fixture(scope="module")
def mesh(template):
    return registration.canonical_mesh(template)


def somewhere(template) -> registration.CanonicalFrame:
    """Turned by a few degrees, shifted, 8 % larger."""
    place = usual_place(template, 1.08)
    turn = Rotation.from_euler("xyz", [4, -3, 2], degrees=True).as_matrix()
    return replace(place, rotation=turn @ place.rotation, origin=place.origin + np.array([0.003, -0.004, 0.002]))


def apart(place: registration.CanonicalFrame, other: registration.CanonicalFrame, template) -> float:
    """Largest distance in mm between the two over the face."""
    face = template.vertices[template.regions["face"] > 0.5]
    return 1000 * np.linalg.norm(place.apply(face) - other.apply(face), axis=-1).max()


def test_place_by_points_is_exact_and_robust() -> None:
    generator = np.random.default_rng(1)
    points = generator.normal(0, 0.05, (60, 3))
    rotation = Rotation.from_rotvec([0.3, -0.2, 2.9]).as_matrix()
    true = registration.CanonicalFrame(1.2, rotation, np.array([0.01, 1.5, 0.1]), np.array([0.0, 0.0, 1.0]))
    canonical = true.apply(points)
    canonical[:6] += 0.03
    found = registration.align_by_points(points, canonical, np.ones(60))
    np.testing.assert_allclose(found.apply(points), true.apply(points), atol=2e-4)
    np.testing.assert_allclose(found.undo(found.apply(points)), points, atol=1e-12)
    with pytest.raises(ValueError, match="at least four"):
        registration.align_by_points(points, canonical, np.zeros(60))


def test_derivatives_of_place_and_surface_are_those_of_differences(template) -> None:
    place = somewhere(template)
    points = template.vertices[template.regions["nose"] > 0.5][::20].astype(np.float64)
    seen = place.apply(points)
    by_point, by_step = place.derivatives(seen)
    step = 1e-6
    for axis in range(3):
        moved = place.apply(points + step * np.eye(3)[axis])
        np.testing.assert_allclose((moved - seen) / step, np.tile(by_point[:, axis], (len(seen), 1)), atol=1e-5)
    for number in range(7):
        moved = place.moved(step * np.eye(7)[number]).apply(points)
        np.testing.assert_allclose((moved - seen) / step, by_step[:, :, number], atol=1e-5)


def test_points_on_the_surface_are_neither_before_nor_behind_it(template) -> None:
    place = usual_place(template)
    face = canonical_of(template, np.zeros(len(template.identity_modes)), place, 128)
    mesh = registration.canonical_mesh(template)
    points = place.apply(mesh.points.base)
    samples = registration.sample_surface(face, points)
    known = samples.confidence > 0.99
    assert known.mean() > 0.8
    assert np.abs(samples.behind[known]).mean() < 0.0006
    further = (
        registration.sample_surface(face, points + np.array([0.0, 0.0, 0.004])).behind[known] - samples.behind[known]
    )
    assert np.median(further) == pytest.approx(0.004, abs=1e-4)


@pytest.mark.parametrize("size", [64, 128])
def test_registration_recovers_a_known_similarity(template, mesh, size: int) -> None:
    identity = np.random.default_rng(2).normal(0, 1, len(template.identity_modes))
    true = somewhere(template)
    face = canonical_of(template, identity, true, size)
    generator = np.random.default_rng(3)
    face = replace(face, landmarks=face.landmarks + generator.normal(0, 0.004, face.landmarks.shape))
    place = registration.align_on_head(template, mesh, face, identity, STAGE)
    assert apart(place, true, template) < 1.5
    assert place.scale == pytest.approx(true.scale, rel=0.01)


def test_without_landmarks_the_usual_place_is_taken(template) -> None:
    face = canonical_of(template, np.zeros(len(template.identity_modes)), usual_place(template), 32)
    lost = registration.align_by_landmarks(template, replace(face, landmark_weights=np.zeros(468)))
    assert apart(lost, usual_place(template), template) < 1e-3
    assert apart(registration.align_by_landmarks(template, face), usual_place(template), template) < 0.5


def test_a_known_depth_map_pulls_the_identity_to_the_truth(template, mesh) -> None:
    """Nothing but the prior and the surface: the face that comes out is the one that was drawn."""
    generator = np.random.default_rng(4)
    identity = generator.normal(0, 1, len(template.identity_modes))
    face = canonical_of(template, identity, somewhere(template), 128)
    region = mesh.facing > 0.6

    def error(guess: np.ndarray) -> float:
        """Mean distance along the surface's own depth, in mm, at the best place."""
        place = registration.align_on_head(template, mesh, face, guess, STAGE)
        samples = registration.sample_surface(face, place.apply(mesh.points.base + mesh.points.identity @ guess))
        return 1000 * float(np.abs(samples.behind[region & (samples.confidence > 0.9)]).mean())

    guess = np.zeros_like(identity)
    before = error(guess)
    for _ in range(4):
        belief = registration.canonical_prior(template, mesh, face, guess, STAGE)
        np.testing.assert_allclose(belief.information, belief.information.T, atol=1e-6 * belief.information.max())
        assert np.linalg.eigvalsh(belief.information).min() > -1e-6 * belief.information.max()
        guess = np.linalg.solve(belief.information + np.eye(len(guess)), belief.pull)
    assert before > 0.8
    assert error(guess) < 0.4 * before
    true = mesh.points.identity[region] @ identity
    found = mesh.points.identity[region] @ guess
    left = np.linalg.norm((found - found.mean(0)) - (true - true.mean(0)), axis=-1).mean()
    assert left < 0.75 * np.linalg.norm(true - true.mean(0), axis=-1).mean()


def test_networks_that_show_half_of_a_person_are_read_as_that(template, mesh) -> None:
    """A surface half way to the mean head: with the share declared, the whole person comes out, not half of one."""
    identity = np.random.default_rng(5).normal(0, 1, len(template.identity_modes))
    face = canonical_of(template, 0.5 * identity, usual_place(template), 128)

    def strength(stage: CanonicalStage) -> float:
        """The found face's share of the true one: slope of its drawn points' offsets from the mean on the true ones."""
        guess = np.zeros_like(identity)
        for _ in range(4):
            belief = registration.canonical_prior(template, mesh, face, guess, stage)
            guess = np.linalg.solve(belief.information + np.eye(len(guess)), belief.pull)
        true, found = (mesh.points.identity[mesh.facing > 0.6] @ one for one in (identity, guess))
        true, found = true - true.mean(0), found - found.mean(0)
        return float((true * found).sum() / (true * true).sum())

    assert strength(STAGE) < 0.55
    assert strength(replace(STAGE, shown_share=0.5)) > 1.6 * strength(STAGE)


def test_what_bumps_and_place_explain_does_not_move_the_identity(template, mesh) -> None:
    """A face that is bent as a whole is the networks' error as long as smooth errors are allowed for."""
    zero = np.zeros(len(template.identity_modes))
    face = canonical_of(template, zero, usual_place(template), 128)
    rows, columns = (np.mgrid[:128, :128] + 0.5 - 64) / 64
    bent = replace(face, depth=face.depth + 0.004 * columns**2 - 0.003 * rows * columns + 0.002 * rows)

    def moved(stage: CanonicalStage) -> float:
        beliefs = [registration.canonical_prior(template, mesh, one, zero, stage) for one in (face, bent)]
        straight, other = (np.linalg.solve(one.information + np.eye(len(zero)), one.pull) for one in beliefs)
        return float(np.linalg.norm(other - straight))

    free, stiff = replace(STAGE, bump_deviation_mm=30.0), replace(STAGE, bump_deviation_mm=0.01)
    assert moved(free) < 0.6 * moved(stiff)


def test_belief_costs_least_where_it_wants_the_identity() -> None:
    belief = IdentityPrior(np.diag([2.0, 1.0]), np.array([2.0, 3.0]))
    best = np.array([1.0, 3.0])
    for step in ([0.1, 0.0], [-0.1, 0.0], [0.0, 0.2], [0.0, -0.2]):
        assert belief.cost(best + step) > belief.cost(best)


def seen_from(template, yaw: float, roll: float):
    """A photo of the mean face from 1.2 m, and what perfect networks say of it."""
    face = canonical_of(template, np.zeros(len(template.identity_modes)), usual_place(template), 64)
    turn = Rotation.from_euler("y", yaw, degrees=True).as_matrix()
    tilt = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    rotation = tilt @ turn @ np.diag([1.0, -1.0, -1.0])
    points = template.landmarks478.positions(template.vertices).astype(np.float64)
    in_camera = (points - points.mean(0)) @ rotation.T + [0.01, -0.02, 1.2]
    pixels = 1500 * in_camera[:, :2] / in_camera[:, 2:] + 150
    photo = made_photo(0, landmarks=np.concatenate([pixels, np.zeros((478, 1))], 1).astype(np.float32))
    window = Window((150.0, 150.0), 200.0, np.radians(roll))
    return photo, replace(still_photo("0.png", 64, face.depth), rotation=turn, window=window), face, rotation


def degrees_apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(first @ second.T).magnitude()))


def test_a_lost_pose_starts_from_the_view_and_a_good_one_stays(template) -> None:
    photo, seen, face, rotation = seen_from(template, 30.0, 12.0)
    place = registration.align_by_landmarks(template, face)
    good = initial_parameters(template, photo, PriorWeights(), 0)
    assert degrees_apart(good.rotation, rotation) < 1
    lost = replace(good, rotation=Rotation.from_rotvec([0.4, -0.9, 0.3]).as_matrix() @ good.rotation)
    found = registration.start_from_view(template, photo, lost, seen, place)
    assert degrees_apart(found.rotation, rotation) < 2
    assert found.focal == pytest.approx(lost.focal, rel=1e-6)
    marks = template.landmarks478.positions(template.vertices)
    off = np.linalg.norm(found.camera().project(marks)[:, :2] - photo.landmarks[:, :2], axis=-1)
    assert np.median(off) < 3
    wrong = replace(seen, rotation=Rotation.from_euler("y", -30, degrees=True).as_matrix())
    assert registration.start_from_view(template, photo, good, wrong, place) is good


def test_the_lamp_stands_where_the_networks_see_it(template) -> None:
    above = replace(still_photo("0.png", 8, np.ones((8, 8))), direction=np.array([0.0, 0.6, 0.8]))  # light falls down
    light = registration.head_light(above, usual_place(template))
    up, front, down = (shade(np.array([d]), light)[0, 0] for d in ([0, 0.6, 0.8], [0.0, 0, 1], [0, -0.6, 0.8]))
    assert up > front > down
    assert up == pytest.approx(1.0, abs=0.08)  # ambient and diffuse together
    np.testing.assert_allclose(light[:, 0], light[:, 2])
