"""The head's turn in a picture, by which the detector's errors are looked up."""

from __future__ import annotations

import numpy as np

from backend.fitting.detector_model import turn_of
from backend.photos.faces import mean_landmarks


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
