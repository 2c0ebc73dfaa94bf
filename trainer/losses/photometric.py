"""Photometric losses between renders and photos, with confidence: Unsup3D's, and LAP's relaxed consistency."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-7
_LUMINANCE = (0.299, 0.587, 0.114)


def photometric(rendered: Tensor, photos: Tensor, sigma: Tensor, mask: Tensor, relax: Tensor | None = None) -> Tensor:
    """LAP's equation 3: masked mean of sqrt(2) |a - b| / sigma + log(sqrt(2) sigma); with ``relax``, equation 5.

    Parameters
    ----------
    rendered, photos : (N, 3, H, W) in [-1, 1]. sigma : (N, 1, H, W) above 0.
    mask : (N, H, W) in [0, 1], weight of the pixels. relax : (N, H, W) factors of the differences, 1 where a person's
        photos should agree, lower (0.3) where they may differ; the relaxed regions also weigh less.
    """
    difference = (rendered - photos).abs()
    weight = mask[:, None]
    if relax is not None:
        difference = difference * relax[:, None]
        weight = weight * relax[:, None]
    value = math.sqrt(2) * difference / (sigma + EPSILON) + torch.log(math.sqrt(2) * (sigma + EPSILON))
    return _masked_mean(value, mask[:, None]) if relax is None else _normalised(value, mask[:, None], weight)


def feature_distance(rendered: Tensor, photos: Tensor, sigma: Tensor, mask: Tensor) -> Tensor:
    """Unsup3D's perceptual loss: masked mean of (f1 - f2)^2 / (2 sigma^2) + log sigma.

    rendered, photos : (N, C, h, w) features. sigma : (N, 1, any, any) above 0 and mask : (N, H, W) are resized to h, w.
    """
    size = rendered.shape[-2:]
    if sigma.shape[-2:] != size:
        sigma = functional.interpolate(sigma, size, mode="bilinear", align_corners=False)
    weight = functional.adaptive_avg_pool2d(mask[:, None], size)
    value = (rendered - photos) ** 2 / (2 * sigma**2 + EPSILON) + torch.log(sigma + EPSILON)
    return _masked_mean(value, weight)


def smoothness(maps: Tensor) -> Tensor:
    """Mean absolute second difference of maps (N, H, W) along rows and columns, times 1,000."""
    across = maps[:, :, 2:] - 2 * maps[:, :, 1:-1] + maps[:, :, :-2]
    down = maps[:, 2:] - 2 * maps[:, 1:-1] + maps[:, :-2]
    return 1000.0 * (across.abs().mean() + down.abs().mean())


def luminance(pictures: Tensor) -> Tensor:
    """(N, 1, H, W) luminance of pictures (N, 3, H, W): Rec. 601 weights, without linearisation."""
    return (pictures * pictures.new_tensor(_LUMINANCE).view(1, 3, 1, 1)).sum(1, keepdim=True)


def grey_where(pictures: Tensor, is_grey: Tensor) -> Tensor:
    """Replace the pictures (N, 3, H, W) selected by ``is_grey`` (N,) by their luminance in all channels."""
    return torch.where(is_grey[:, None, None, None], luminance(pictures).expand_as(pictures), pictures)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (N, C, H, W) over a mask (N, 1, H, W); 0 for an empty one."""
    return (values * mask).sum() / (mask.sum() * values.shape[1]).clamp(min=1)


def _normalised(values: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Sum over a mask by |M_re|, the sum of the relaxed mask."""
    return (values * mask).sum() / (weight.sum() * values.shape[1]).clamp(min=1)
