"""Losses of displacement maps. Maps are (B, 1, N, N), millimetres, outwards; masks (1 or B, 1, N, N) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

_SOFT = 0.1
"""Millimetres (and millimetres a texel) below which differences count by their square: most wrinkles are, so that the
mean is found where nothing is known."""


def height_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of heights, millimetres."""
    return _mean(_robust(found - truth), mask)


def slope_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of slopes, millimetres a texel: what light shows of a relief."""
    across, down = slopes(found - truth)
    return _mean(_robust(across) + _robust(down), mask)


def slopes(heights: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives (B, 1, N, N) of heights to the right and down by central differences, one-sided at the edges; per
    texel."""
    down, across = torch.gradient(heights, dim=(2, 3))
    return across, down


def shading_error(found: Tensor, photos: Tensor) -> Tensor:
    """The paper's masked pixel-wise loss, in UV: mean difference between the light and dark that a relief would show
    under the photo's light and what the photo shows.

    photos : (B, 7, N, N) of ``backend.detail.observation.observe``; found : displacement with each photo's expression.
    To first order log shading changes by ``-(b . slope)``.
    """
    across, down = slopes(found)
    shown = -(photos[:, 3:4] * across + photos[:, 4:5] * down)
    return _mean(_robust(photos[:, :1] - shown), photos[:, 5:6])


def detail_size(found: Tensor, mask: Tensor) -> Tensor:
    """The paper's equation 2, as a mean: how far the detailed surface is from the coarse one, millimetres."""
    return _mean(_robust(found), mask)


def _robust(values: Tensor) -> Tensor:
    return (values.square() + _SOFT**2).sqrt() - _SOFT


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1.0)
