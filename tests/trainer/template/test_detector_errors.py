"""The detector's error model, from errors that were put in."""

from __future__ import annotations

import numpy as np

from backend.fitting.detector_model import turn_of, view_features
from backend.photos.faces import mean_landmarks
from trainer.template.calibration import ErrorTable, cross_validated_percent, fit_bias, fit_detector_model


def made_up_table(seed: int = 0, pictures: int = 80) -> tuple[ErrorTable, np.ndarray]:
    generator = np.random.default_rng(seed)
    turns = generator.uniform(-50, 50, pictures), generator.uniform(-20, 20, pictures)
    features = view_features(*turns, np.exp(generator.uniform(-1.2, 1.1, pictures)))
    bias = generator.normal(0, 1.0, (8, 478, 2))
    mode = generator.normal(0, 1.0, (478, 2))
    errors = np.tensordot(features, bias, 1) + generator.normal(0, 1, (pictures, 1, 1)) * mode
    errors += generator.normal(0, 0.5, errors.shape)
    return ErrorTable(errors, features, np.repeat(np.arange(pictures // 4), 4)), mode


def test_bias_is_recovered_and_helps_people_that_were_held_out() -> None:
    table, _ = made_up_table()
    left = table.errors - np.tensordot(table.features, fit_bias(table), 1)
    assert np.median(np.abs(left)) < 0.75 * np.median(np.abs(table.errors))
    before, after = cross_validated_percent(table)
    assert after < 0.85 * before


def test_common_errors_become_the_first_mode() -> None:
    table, mode = made_up_table(1)
    model = fit_detector_model(table, mode_count=3)
    first = model.modes[0].ravel()
    cosine = abs(first @ mode.ravel()) / np.linalg.norm(first) / np.linalg.norm(mode)
    assert cosine > 0.9
    assert model.deviation.min() >= 0.4 and model.deviation.mean() < 1.0


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
