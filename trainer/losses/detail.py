"""Losses of displacement maps. Maps are (B, 1, N, N), millimetres, outwards; masks (1 or B, 1, N, N) in [0, 1].

Those on pictures (P, 3, S, S), sRGB in [0, 1], are the paper's: section 2.5 of Yang et al. (SIGGRAPH Asia 2020
posters).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from backend.rendering.color import linear_from_srgb, srgb_from_linear

_SOFT = 0.1
"""Millimetres (and millimetres a texel) below which differences count by their square: most wrinkles are, so that the
mean is found where nothing is known."""
_LEAST = 0.01
"""Millimetres of root mean square relief, about the unevenness of young skin: errors are not measured by less."""
_DARK = 1e-3
"""Linear light (and differences of colours) below which roots and logarithms would have no bounded slope."""


def height_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of heights, millimetres."""
    return _mean(_robust(found - truth), mask)


def slope_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of slopes, millimetres a texel: what light shows of a relief."""
    across, down = slopes(found - truth)
    return _mean(_robust(across) + _robust(down), mask)


def relative_error(found: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean over maps of the root mean square difference of heights over the root mean square height, the latter at
    least ``_LEAST``: flat skin must be found flat, which ``height_error`` hardly counts.

    mask : (B, 1, N, N); a map counts as its mask's sum.
    """
    mask = mask.expand_as(found)
    area = mask.flatten(1).sum(1)
    mean = [(mask * values.square()).flatten(1).sum(1) / area.clamp(min=1.0) for values in (found - truth, truth)]
    ratio = (mean[0] + 1e-8).sqrt() / mean[1].sqrt().clamp(min=_LEAST)
    return (area * ratio).sum() / area.sum().clamp(min=1.0)


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
    return _mean(_robust(photos[:, :1] - relief_light(found, photos)), photos[:, 5:6])


def relief_light(found: Tensor, photos: Tensor) -> Tensor:
    """(P, 1, N, N) by how much relief changes the logarithm of the light, to first order, by photos (P, 7, N, N)."""
    across, down = slopes(found)
    return -(photos[:, 3:4] * across + photos[:, 4:5] * down)


def refined_pictures(coarse: Tensor, change: Tensor, places: Tensor, mask: Tensor, pool: int = 1) -> Tensor:
    """(P, 3, S, S) the coarse renders with the relief's light and shadow on them.

    Parameters
    ----------
    coarse : (P, 3, S, S) sRGB. change : (P, 1, N, N) of the logarithm of the light, in the window. places :
        (P, S, S, 2) where each pixel lies in the window, -1 to 1. mask : (P, 1, S, S), where the face is. pool : texels
        whose mean is taken first, so that finer ones do not alias.
    """
    change = functional.avg_pool2d(change, pool) if pool > 1 else change
    change = functional.grid_sample(change, places, align_corners=False) * mask
    return srgb_from_linear((linear_from_srgb(coarse.clamp(min=_DARK)) * change.exp()).clamp(_DARK, 1.0))


def pixel_error(rendered: Tensor, photos: Tensor, mask: Tensor) -> Tensor:
    """Section 2.5.1, masked pixel-wise loss, in the picture: mean distance of colours where the photo shows the face.

    The paper gives no equation; this is that of Deng et al. (2019), whose regressor it takes.
    """
    apart = ((rendered - photos).square().sum(1, keepdim=True) + _DARK**2).sqrt() - _DARK
    return _mean(apart, mask)


def identity_distance(rendered: Tensor, photos: Tensor) -> Tensor:
    """Section 2.5.2, perceptual loss: one less the cosine of features (P, F), mean over the photos."""
    return 1.0 - functional.cosine_similarity(rendered, photos, dim=1).mean()


def told_apart(real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator of section 2.5.3 minimises (Mao et al. 2017, equation 9): 1 for photos, 0 for renders."""
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def taken_for_real(fake: Tensor) -> Tensor:
    """What the generator minimises against it: its renders shall get 1."""
    return 0.5 * (fake - 1.0).square().mean()


def detail_size(found: Tensor, mask: Tensor) -> Tensor:
    """The paper's equation 2, as a mean: how far the detailed surface is from the coarse one, millimetres."""
    return _mean(_robust(found), mask)


def _robust(values: Tensor) -> Tensor:
    return (values.square() + _SOFT**2).sqrt() - _SOFT


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1.0)
