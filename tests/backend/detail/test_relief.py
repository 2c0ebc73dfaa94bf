"""What the network says at rest, at the depth that people of its like have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.detail import relief as relief_module
from backend.detail.relief import RIGHT_DEPTH, relief, rest_gain, without_wide

SIZE, DENSITY = 128, 1700.0 / 4
ALLOWED = np.ones((SIZE, SIZE), np.float32)


def lines(depth: float) -> np.ndarray:
    """(N, N) fine lines of a root mean square, millimetres."""
    waves = np.sin(np.arange(SIZE)[:, None] * 2.0) * np.ones((1, SIZE))
    return (waves * depth * np.sqrt(2.0)).astype(np.float32)


def test_smooth_skin_is_made_flatter_and_worn_skin_is_not() -> None:
    gains = [float(rest_gain(lines(depth), ALLOWED, DENSITY)) for depth in (0.25 * RIGHT_DEPTH, RIGHT_DEPTH)]
    assert gains == pytest.approx([0.5, 1.0], rel=0.05)
    deepest = float(rest_gain(lines(10.0), ALLOWED, DENSITY))
    assert 1.0 < deepest < 2.0 and float(rest_gain(lines(0.0), ALLOWED, DENSITY)) > 0


def test_wide_forms_are_no_relief() -> None:
    row = np.arange(SIZE, dtype=np.float32)[:, None] * np.ones((1, SIZE), np.float32)
    inside = np.s_[20:-20, 20:-20]
    assert np.abs(without_wide(0.01 * row, DENSITY))[inside].max() < 1e-3
    assert np.abs(without_wide(lines(0.1), DENSITY) - lines(0.1))[inside].max() < 5e-3


def test_what_expressions_add_stays_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.stack([lines(0.25 * RIGHT_DEPTH), lines(0.25 * RIGHT_DEPTH) + lines(0.2).T])
    monkeypatch.setattr(relief_module, "displacements", lambda *_: found)
    allowed = ALLOWED.copy()
    allowed[:40] = 0.0
    heights = relief(torch.nn.Identity(), *([np.zeros(1)] * 3), allowed, DENSITY)
    assert not heights[:, :40].any()
    np.testing.assert_allclose(heights[1] - heights[0], (found[1] - found[0]) * allowed, atol=1e-6)
    assert np.abs(heights[0]).max() < 0.8 * np.abs(found[0]).max()
