"""Losses of displacement maps against values by hand and finite differences."""

from __future__ import annotations

import pytest
import torch

from trainer.losses import detail
from trainer.stages.detail import slope_correlation


def test_slopes_of_a_ramp() -> None:
    column = torch.arange(6.0).expand(1, 1, 5, 6)
    across, down = detail.slopes(0.3 * column)
    torch.testing.assert_close(across, torch.full_like(across, 0.3))
    assert not down.any()


def test_errors_by_hand() -> None:
    truth, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0.0
    found = torch.full_like(truth, 0.2)
    expected = (0.2**2 + 0.1**2) ** 0.5 - 0.1
    assert float(detail.height_error(found, truth, mask)) == pytest.approx(expected, rel=1e-5)
    assert float(detail.slope_error(found, truth, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(detail.detail_size(found, mask)) == pytest.approx(expected, rel=1e-5)


def test_the_shading_of_the_true_relief_is_what_the_photo_shows() -> None:
    g = torch.Generator().manual_seed(1)
    heights = torch.rand(1, 1, 16, 16, generator=g)
    photos = torch.zeros(1, 7, 16, 16)
    photos[:, 3:5] = torch.randn(1, 2, 16, 16, generator=g)
    photos[:, 5] = 1.0
    across, down = detail.slopes(heights)
    photos[:, :1] = -(photos[:, 3:4] * across + photos[:, 4:5] * down)
    assert float(detail.shading_error(heights, photos)) == pytest.approx(0.0, abs=1e-6)
    assert float(detail.shading_error(-heights, photos)) > 0.1


def test_gradients_are_those_of_finite_differences() -> None:
    g = torch.Generator().manual_seed(2)
    found = torch.rand(1, 1, 6, 6, generator=g, dtype=torch.float64, requires_grad=True)
    truth, mask = torch.rand(1, 1, 6, 6, generator=g).double(), torch.rand(1, 1, 6, 6, generator=g).double()
    photos = torch.rand(1, 7, 6, 6, generator=g).double()
    for loss in (
        lambda x: detail.height_error(x, truth, mask),
        lambda x: detail.slope_error(x, truth, mask),
        lambda x: detail.shading_error(x, photos),
        lambda x: detail.detail_size(x, mask),
    ):
        assert torch.autograd.gradcheck(loss, (found,))


def test_correlation_of_slopes() -> None:
    heights, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert slope_correlation(3 * heights + 1, heights, mask) == pytest.approx(1.0, abs=1e-5)
    assert slope_correlation(-heights, heights, mask) == pytest.approx(-1.0, abs=1e-5)
    assert slope_correlation(torch.ones_like(heights), heights, mask) == 0.0
