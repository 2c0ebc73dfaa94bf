"""Losses of displacement maps against values by hand and finite differences."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.methods.detail import stage
from trainer.methods.detail.stage import slope_correlation


def test_slopes_of_a_ramp() -> None:
    column = torch.arange(6.0).expand(1, 1, 5, 6)
    across, down = stage.slopes(0.3 * column)
    torch.testing.assert_close(across, torch.full_like(across, 0.3))
    assert not down.any()


def test_errors_by_hand() -> None:
    truth, mask = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    mask[..., 2:] = 0.0
    found = torch.full_like(truth, 0.2)
    expected = (0.2**2 + 0.1**2) ** 0.5 - 0.1
    assert float(stage.height_error(found, truth, mask)) == pytest.approx(expected, rel=1e-5)
    assert float(stage.slope_error(found, truth, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(stage.detail_size(found, mask)) == pytest.approx(expected, rel=1e-5)


def test_light_on_a_slope_by_hand() -> None:
    heights = torch.arange(16.0).expand(16, 16)[None, None]  # rises to the right by 1 mm a texel
    photos = torch.zeros(1, 7, 16, 16)
    photos[:, 3], photos[:, 4] = 0.25, 9.0
    torch.testing.assert_close(stage.relief_light(heights, photos), torch.full_like(heights, -0.25))


def test_gradients_are_those_of_finite_differences() -> None:
    g = torch.Generator().manual_seed(2)
    found = torch.rand(1, 1, 6, 6, generator=g, dtype=torch.float64, requires_grad=True)
    truth, mask = torch.rand(1, 1, 6, 6, generator=g).double(), torch.rand(1, 1, 6, 6, generator=g).double()
    for loss in (
        lambda x: stage.height_error(x, truth, mask),
        lambda x: stage.slope_error(x, truth, mask),
        lambda x: stage.detail_size(x, mask),
    ):
        assert torch.autograd.gradcheck(loss, (found,))


def test_correlation_of_slopes() -> None:
    heights, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert slope_correlation(3 * heights + 1, heights, mask) == pytest.approx(1.0, abs=1e-5)
    assert slope_correlation(-heights, heights, mask) == pytest.approx(-1.0, abs=1e-5)
    assert slope_correlation(torch.ones_like(heights), heights, mask) == 0.0


def _places(size: int) -> torch.Tensor:
    """(1, S, S, 2): the picture shows the whole window."""
    middles = (torch.arange(size) + 0.5) / size * 2 - 1
    return torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1)[None]


def test_light_on_relief_is_drawn_into_the_picture_where_its_texel_is() -> None:
    coarse, mask = torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 1, 4, 4)
    change = torch.zeros(1, 1, 4, 4)
    change[0, 0, 1, 2] = math.log(2.0)
    refined = stage.refined_pictures(coarse, change, _places(4), mask)
    linear = ((0.5 + 0.055) / 1.055) ** 2.4
    brighter = 1.055 * (2 * linear) ** (1 / 2.4) - 0.055
    expected = coarse.clone()
    expected[0, :, 1, 2] = brighter
    torch.testing.assert_close(refined, expected, atol=1e-5, rtol=0)
    mask[..., 1, 2] = 0.0
    torch.testing.assert_close(stage.refined_pictures(coarse, change, _places(4), mask), coarse, atol=1e-5, rtol=0)
    half = stage.refined_pictures(coarse[..., ::2, ::2], change, _places(2), mask[..., :2, :2], pool=2)
    quarter = 1.055 * (2**0.25 * linear) ** (1 / 2.4) - 0.055
    assert float(half[0, 0, 0, 1]) == pytest.approx(quarter, abs=1e-5)


def test_pixel_error_is_the_mean_distance_of_colours_under_the_mask() -> None:
    photos, mask = torch.full((1, 3, 2, 2), 0.2), torch.ones(1, 1, 2, 2)
    rendered = photos.clone()
    rendered[0, 0, 0, 0] += 0.3
    rendered[0, 1, 0, 0] += 0.4
    assert float(stage.pixel_error(rendered, photos, mask)) == pytest.approx(0.5 / 4, rel=0.01)
    mask[..., 0, 0] = 0.0
    assert float(stage.pixel_error(rendered, photos, mask)) == pytest.approx(0.0, abs=1e-6)


def test_identity_distance_and_the_adversary_by_hand() -> None:
    one, two = torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    assert float(stage.identity_distance(one, two)) == pytest.approx(0.5)  # cosines 1 and 0
    real, fake = torch.tensor([0.5, 1.0]), torch.tensor([0.0, 0.6])
    assert float(stage.discriminator_loss(real, fake)) == pytest.approx(0.5 * (0.125 + 0.18))
    assert float(stage.generator_loss(fake)) == pytest.approx(0.5 * (1.0 + 0.16) / 2)


def test_gradients_of_losses_on_pictures() -> None:
    g = torch.Generator().manual_seed(3)
    change = (0.3 * torch.randn(1, 1, 6, 6, generator=g)).double().requires_grad_()
    coarse = (0.3 + 0.4 * torch.rand(1, 3, 4, 4, generator=g)).double()
    photos = (0.3 + 0.4 * torch.rand(1, 3, 4, 4, generator=g)).double()
    places = _places(4).double()
    mask, features = torch.rand(1, 1, 4, 4, generator=g).double(), torch.rand(48, 5, generator=g).double()
    for loss in (
        lambda x: stage.pixel_error(x, photos, mask),
        lambda x: stage.identity_distance(x.flatten(1) @ features, photos.flatten(1) @ features),
        lambda x: stage.generator_loss(x.flatten(1) @ features),
        lambda x: stage.discriminator_loss(photos.flatten(1) @ features, x.flatten(1) @ features),
    ):
        assert torch.autograd.gradcheck(lambda c, f=loss: f(stage.refined_pictures(coarse, c, places, mask)), (change,))
