"""Errors of poses, and blinks that were found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.expression.reading import towards_point
from backend.fitting.parameters import FACING_CAMERA
from protocol.names import LIDS
from trainer.methods.expressions import evaluate

AHEAD = np.array([[0.0, 0.0, 1.0]])


def turned(axis: int, degrees: float) -> np.ndarray:
    """(1, 3, 3) a head facing the camera, turned about its own axis."""
    return (FACING_CAMERA @ Rotation.from_rotvec(np.radians(degrees) * np.eye(3)[axis]).as_matrix())[None]


def test_errors_are_told_by_axis_and_by_yaw() -> None:
    true = turned(1, 30.0)
    found = true @ Rotation.from_euler("x", 4.0, degrees=True).as_matrix()
    errors = evaluate.pose_errors(true, AHEAD, found, AHEAD)
    np.testing.assert_allclose(errors.off, [[4.0, 0.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(np.abs(errors.yaw), [30.0])
    figures = evaluate.PoseErrors.joined([errors, errors]).figures("p")
    assert abs(figures["p_mean_yaw_20_45"] - 4.0) < 1e-9
    assert "p_mean_yaw_0_20" not in figures
    assert abs(figures["p_pitch"] - 4.0) < 1e-9


def test_a_head_in_another_direction_is_the_same_from_its_line_of_sight() -> None:
    """What an unknown focal length does: the head is found farther aside, and turned with it."""
    near, far = np.array([[0.2, 0.0, 1.0]]), np.array([[0.4, 0.0, 1.0]])
    true = towards_point(near[0, :2])[None] @ turned(1, 10.0)
    found = towards_point(far[0, :2])[None] @ turned(1, 10.0)
    errors = evaluate.pose_errors(true, near, found, far)
    assert np.linalg.norm(errors.off) > 8.0
    np.testing.assert_allclose(errors.off_sight, 0.0, atol=1e-9)


def test_blink_clips_shut_the_lids_at_the_middle_only_and_are_seen_from_both_sides() -> None:
    lids = np.array([evaluate.blinking_lids(number, [0.5, 1.5]) for number in range(24)])
    np.testing.assert_allclose(lids[[6, 18]], 1.0)
    assert lids[[0, 11, 12, 23]].max() < 0.01
    assert {evaluate.yaw_of(index) for index in range(2 * len(evaluate.YAWS))} == {
        sign * yaw for yaw in evaluate.YAWS for sign in (1.0, -1.0)
    }


def test_blinks_are_counted_by_closed_lids() -> None:
    truth, found = np.zeros((2, 20, 52))
    truth[np.ix_([4, 5, 12], LIDS)] = 0.9
    found[np.ix_([6, 17], LIDS)] = 0.8
    assert evaluate.count_blinks(truth, found, np.full(20, 40)) == evaluate.BlinkCounts(2, 1, 2, 1, 1)


def test_a_blink_shows_where_pictures_differ_from_open_eyes() -> None:
    truth = np.zeros((20, 52))
    truth[np.ix_([4, 5, 12], LIDS)] = 0.8
    truth[5] *= 1.2
    lid_pixels = np.zeros(20, int)
    lid_pixels[5] = 30
    assert evaluate.count_blinks(truth, truth, lid_pixels) == evaluate.BlinkCounts(2, 2, 1, 1, 0)
    assert evaluate.count_blinks(truth, np.zeros_like(truth), lid_pixels) == evaluate.BlinkCounts(2, 0, 1, 0, 0)


def test_pictures_differ_by_pixels_that_anybody_sees() -> None:
    pictures = np.full((2, 8, 8, 3), 100, np.uint8)
    others = pictures.copy()
    others[0] += 10  # a little more light
    others[1, :2, :3, 1] = 60
    np.testing.assert_array_equal(evaluate.different_pixels(pictures, others), [0, 6])


def test_shares_come_with_intervals() -> None:
    found = evaluate.blink_figures("a", evaluate.BlinkCounts(100, 90, 0, 0, 0), 60.0)
    assert (found["a.blinks_found_low"], found["a.blinks_found_high"]) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert (found["a.blinks_found_showing_low"], found["a.blinks_found_showing_high"]) == (0.0, 1.0)  # nothing known
    figures = evaluate.blink_figures("clips", evaluate.BlinkCounts(20, 18, 10, 10, 1), 60.0)
    assert figures["clips.blinks_found"] == 0.9
    assert figures["clips.blinks_found_showing"] == 1.0
    assert figures["clips.blinks_found_low"] < 0.9 < figures["clips.blinks_found_high"]
    assert figures["clips.blinks_false_per_minute"] == 1.0
