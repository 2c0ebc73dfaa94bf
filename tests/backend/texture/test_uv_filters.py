"""Masked filtering."""

from __future__ import annotations

import numpy as np
import pytest

from backend.texture.surface import masked_lowpass, push_pull

RNG = np.random.default_rng(3)


def test_push_pull_keeps_what_is_known_and_stays_in_range() -> None:
    values = RNG.uniform(0.2, 0.8, (65, 48, 3)).astype(np.float32)
    weights = np.zeros((65, 48), np.float32)
    weights[10:20, 5:40] = 1.0
    filled = push_pull(values * weights[..., None] - 9.0 * (1 - weights[..., None]), weights)
    np.testing.assert_allclose(filled[10:20, 5:40], values[10:20, 5:40], atol=1e-6)
    assert filled.min() > 0.19 and filled.max() < 0.81


@pytest.mark.parametrize("sigma", [1.5, 12.0])
def test_masked_lowpass_of_a_constant_ignores_what_is_masked(sigma: float) -> None:
    weights = (RNG.random((96, 96)) > 0.5).astype(np.float32)
    values = np.where(weights[..., None] > 0, 0.37, 1e3).astype(np.float32) * np.ones((1, 1, 2), np.float32)
    mean, support = masked_lowpass(values, weights, sigma)
    assert support.min() > 0
    np.testing.assert_allclose(mean, 0.37, atol=1e-4)
