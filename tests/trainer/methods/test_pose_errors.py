"""Pose errors by axis and line of sight, and the tilt between two head frames of one person."""

import numpy as np
from scipy.spatial.transform import Rotation

from backend.expression.reading import towards_point
from backend.fitting.parameters import FACING_CAMERA
from protocol.similarity import fit_similarity
from trainer.methods.expressions.evaluate import YAWS, PoseErrors, blinking_lids, pose_errors, yaw_of

AHEAD = np.array([[0.0, 0.0, 1.0]])


def turned(axis: int, degrees: float) -> np.ndarray:
    """(1, 3, 3) a head facing the camera, turned about its own axis."""
    return (FACING_CAMERA @ Rotation.from_rotvec(np.radians(degrees) * np.eye(3)[axis]).as_matrix())[None]


def test_errors_are_told_by_axis_and_by_yaw() -> None:
    true = turned(1, 30.0)
    found = true @ Rotation.from_euler("x", 4.0, degrees=True).as_matrix()
    errors = pose_errors(true, AHEAD, found, AHEAD)
    np.testing.assert_allclose(errors.off, [[4.0, 0.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(np.abs(errors.yaw), [30.0])
    figures = PoseErrors.joined([errors, errors]).figures("p")
    assert abs(figures["p_mean_yaw_20_45"] - 4.0) < 1e-9
    assert "p_mean_yaw_0_20" not in figures
    assert abs(figures["p_pitch"] - 4.0) < 1e-9


def test_a_head_in_another_direction_is_the_same_from_its_line_of_sight() -> None:
    """What an unknown focal length does: the head is found farther aside, and turned with it."""
    near, far = np.array([[0.2, 0.0, 1.0]]), np.array([[0.4, 0.0, 1.0]])
    true = towards_point(near[0, :2])[None] @ turned(1, 10.0)
    found = towards_point(far[0, :2])[None] @ turned(1, 10.0)
    errors = pose_errors(true, near, found, far)
    assert np.linalg.norm(errors.off) > 8.0
    np.testing.assert_allclose(errors.off_sight, 0.0, atol=1e-9)


def test_tilted_head_frames_are_laid_onto_each_other() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    tilt = Rotation.from_euler("xyz", [5.0, -3.0, 2.0], degrees=True).as_matrix()
    found_points = 1.1 * points @ tilt.T + 0.3
    turn = fit_similarity(points, found_points, scale=1.0).rotation
    np.testing.assert_allclose(turn, tilt, atol=1e-9)
    true = turned(0, 12.0)
    found = true @ tilt.T  # the same head in the picture, its frame tilted
    np.testing.assert_allclose(found @ turn, true, atol=1e-9)


def test_blink_clips_shut_the_lids_at_the_middle_only_and_are_seen_from_both_sides() -> None:
    lids = np.array([blinking_lids(number, [0.5, 1.5]) for number in range(24)])
    np.testing.assert_allclose(lids[[6, 18]], 1.0)
    assert lids[[0, 11, 12, 23]].max() < 0.01
    assert {yaw_of(index) for index in range(2 * len(YAWS))} == {sign * yaw for yaw in YAWS for sign in (1.0, -1.0)}
