"""Noise in space: statistics, determinism, continuity."""

from __future__ import annotations

import numpy as np

from backend.geometry.noise import fractal_noise, gradient_noise

POINTS = np.random.default_rng(0).uniform(-1, 1, (20000, 3)).astype(np.float32)


def test_mean_and_deviation() -> None:
    noise = gradient_noise(POINTS, 0.01, 1)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1.0) < 0.05
    assert abs(fractal_noise(POINTS, 0.02, 3, 2).std() - 1.0) < 0.05


def test_same_seed_same_pattern_other_seed_another() -> None:
    first, again, other = (gradient_noise(POINTS, 0.01, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.05


def test_continuous_over_lattice_planes() -> None:
    below = np.array([[0.02 - 1e-6, 0.013, -0.007]], np.float32)
    above = np.array([[0.02 + 1e-6, 0.013, -0.007]], np.float32)
    assert abs(gradient_noise(below, 0.01, 3) - gradient_noise(above, 0.01, 3))[0] < 1e-2


def test_points_do_not_depend_on_each_other() -> None:
    whole = gradient_noise(POINTS[:100], 0.01, 8)
    np.testing.assert_array_equal(whole[40:60], gradient_noise(POINTS[40:60], 0.01, 8))
