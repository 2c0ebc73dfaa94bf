"""Derivatives of the projection against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from backend.fitting.parameters import FACING_CAMERA, POSE_SIZE, PhotoParameters, project_with_derivatives


def some_parameters(seed: int = 0) -> PhotoParameters:
    generator = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(generator.normal(0, 0.3, 3)).as_matrix()
    return PhotoParameters(
        rotation=turn @ FACING_CAMERA,
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
    pixels, by_point, by_pose = project_with_derivatives(parameters, points)
    step = 1e-6
    for axis in range(POSE_SIZE):
        delta = np.zeros(POSE_SIZE)
        delta[axis] = step
        ahead = project_with_derivatives(parameters.moved(delta, np.zeros(52)), points)[0]
        behind = project_with_derivatives(parameters.moved(-delta, np.zeros(52)), points)[0]
        np.testing.assert_allclose(by_pose[:, :, axis], (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-2)
    for axis in range(3):
        delta = np.zeros(3)
        delta[axis] = step
        ahead, behind = (project_with_derivatives(parameters, points + sign * delta)[0] for sign in (1, -1))
        np.testing.assert_allclose(by_point[:, :, axis], (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(parameters.camera().project(points)[:, :2], pixels, atol=1e-8)


def test_expression_stays_within_bounds() -> None:
    moved = some_parameters().moved(np.zeros(POSE_SIZE), np.linspace(-2, 2, 52))
    assert moved.expression.min() == 0.0 and moved.expression.max() == 1.0
