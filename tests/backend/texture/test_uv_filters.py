"""Masked filtering."""

from __future__ import annotations

import numpy as np
import pytest

from backend.texture.surface import masked_lowpass

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("sigma", [1.5, 12.0])
def test_masked_lowpass_of_a_constant_ignores_what_is_masked(sigma: float) -> None:
    weights = (RNG.random((96, 96)) > 0.5).astype(np.float32)
    values = np.where(weights[..., None] > 0, 0.37, 1e3).astype(np.float32) * np.ones((1, 1, 2), np.float32)
    mean, support = masked_lowpass(values, weights, sigma)
    assert support.min() > 0
    np.testing.assert_allclose(mean, 0.37, atol=1e-4)
