"""Losses of displacement maps. Maps are (B, 1, N, N), millimetres, outwards; masks (1 or B, 1, N, N) in [0, 1].

The losses on pictures (P, 3, S, S), sRGB in [0, 1], are the paper's: section 2.5 of Yang et al. (SIGGRAPH Asia 2020
posters).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.color import linear_from_srgb, srgb_from_linear

_ROBUST_SCALE = 0.1
"""Millimetres (and millimetres per texel), transition from squared to absolute differences. Most wrinkles are smaller,
so that the optimum is the mean where the input leaves the relief open."""
_LEAST_LIGHT = 1e-3
"""Lower bound of linear light (and of differences of colours), so that roots and logarithms have bounded slopes."""


def height_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of heights, millimetres."""
    return _mean(_robust(found - truth), mask)


def slope_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of slopes, millimetres per texel: the part of relief that is visible in shading."""
    across, down = slopes(found - truth)
    return _mean(_robust(across) + _robust(down), mask)


def slopes(heights: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives (B, 1, N, N) of heights to the right and down, per texel, by central differences (one-sided at the
    edges)."""
    down, across = torch.gradient(heights, dim=(2, 3))
    return across, down


def relief_light(found: Tensor, photos: Tensor) -> Tensor:
    """(P, 1, N, N) change of the logarithm of the light due to relief, to first order, ``-(b . slope)``, for photos
    (P, 7, N, N) of ``backend.detail.observation.observe``."""
    across, down = slopes(found)
    return -(photos[:, 3:4] * across + photos[:, 4:5] * down)


def refined_pictures(coarse: Tensor, change: Tensor, places: Tensor, mask: Tensor, pool: int = 1) -> Tensor:
    """(P, 3, S, S) the coarse renders with the relief's shading.

    Parameters
    ----------
    coarse : (P, 3, S, S) sRGB. change : (P, 1, N, N) of the logarithm of the light, in the window. places :
        (P, S, S, 2) position of each pixel in the window, -1 to 1. mask : (P, 1, S, S), of the face. pool : average
        pool x pool texels first, against aliasing.
    """
    change = functional.avg_pool2d(change, pool) if pool > 1 else change
    change = functional.grid_sample(change, places, align_corners=False) * mask
    return srgb_from_linear((linear_from_srgb(coarse.clamp(min=_LEAST_LIGHT)) * change.exp()).clamp(_LEAST_LIGHT, 1.0))


def pixel_error(rendered: Tensor, photos: Tensor, mask: Tensor) -> Tensor:
    """Section 2.5.1, masked pixel-wise loss, in the picture: mean distance of colours where the photo shows the face.

    The paper gives no equation; this one is from Deng et al. (2019), whose regressor it uses.
    """
    apart = ((rendered - photos).square().sum(1, keepdim=True) + _LEAST_LIGHT**2).sqrt() - _LEAST_LIGHT
    return _mean(apart, mask)


def identity_distance(rendered: Tensor, photos: Tensor) -> Tensor:
    """Section 2.5.2, perceptual loss: one minus the cosine of features (P, F), mean over the photos."""
    return 1.0 - functional.cosine_similarity(rendered, photos, dim=1).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator loss of section 2.5.3 (Mao et al. 2017, equation 9): targets are 1 for photos, 0 for renders."""
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Generator loss against it: the target for its renders is 1."""
    return 0.5 * (fake - 1.0).square().mean()


def detail_size(found: Tensor, mask: Tensor) -> Tensor:
    """The paper's equation 2, as a mean: distance of the detailed surface from the coarse one, millimetres."""
    return _mean(_robust(found), mask)


def _robust(values: Tensor) -> Tensor:
    return (values.square() + _ROBUST_SCALE**2).sqrt() - _ROBUST_SCALE


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1.0)
