"""Masked filtering and pyramid blending."""

from __future__ import annotations

import numpy as np
import pytest

from backend.texture.blending import ResidualBlender
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


def test_one_photo_comes_back_from_the_pyramid() -> None:
    residual = RNG.normal(size=(80, 112, 3)).astype(np.float32)
    blender = ResidualBlender((80, 112), levels=4)
    blender.add([blender.bands(residual.copy(), np.ones((80, 112), np.float32))])
    np.testing.assert_allclose(blender.result(), residual, atol=1e-4)


def test_a_seam_becomes_a_ramp_but_far_sides_keep_their_photo() -> None:
    left = np.zeros((64, 128), np.float32)
    left[:, :64] = 1.0
    blender = ResidualBlender((64, 128), levels=4)
    blender.add([blender.bands(np.full((64, 128, 3), 0.3, np.float32), left)])
    blender.add([blender.bands(np.full((64, 128, 3), -0.3, np.float32), 1.0 - left)])
    row = blender.result()[32, :, 0]
    assert row[4] == pytest.approx(0.3, abs=1e-3) and row[-4] == pytest.approx(-0.3, abs=1e-3)
    assert np.abs(np.diff(row)).max() < 0.15  # a hard cut would be 0.6
    assert (np.diff(row) < 1e-3).all()


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="expected images of size"):
        ResidualBlender((8, 8), 2).bands(np.zeros((8, 9, 3), np.float32), np.zeros((8, 9), np.float32))
    with pytest.raises(ValueError, match="no photo"):
        ResidualBlender((8, 8), 2).result()
