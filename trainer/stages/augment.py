"""Random augmentation of pictures and label maps on the training device, from torch's global generators."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.photometric import luminance
from trainer.stages.press_scenes import PressConfig


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Strength of the augmentation; zero everywhere switches it off."""

    flip: float = 0.5
    """Probability of a horizontal flip; only for labels without sides."""
    rotate_degrees: float = 15.0
    """Standard deviation of the rotation in the plane."""
    scale: float = 0.15
    """Standard deviation of the logarithm of the scale."""
    shift: float = 0.08
    """Standard deviation of the shift, in widths of the picture."""
    gain: float = 0.15
    """Standard deviation of the logarithm of each colour channel's factor."""
    gamma: float = 0.2
    """Standard deviation of the logarithm of the exponent."""
    grey: float = 0.05
    """Probability that a picture becomes grey."""
    noise: float = 0.03
    """Largest standard deviation of pixel noise."""
    blur: float = 0.3
    """Probability that a batch is reduced to a lower resolution (at least a third) and enlarged again."""
    backdrop: float = 0.0
    """Probability that another picture of the batch is put behind a head; see ``trainer.stages.backdrops``."""
    press: PressConfig = field(default_factory=PressConfig)
    """Augmentations towards press photos, for official portraits."""


def move(images: Tensor, labels: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Transform pictures (N, 3, H, W) and labels (N, H, W) alike; beyond the border the edge is repeated.

    Raises ``ValueError`` when the shapes do not match.
    """
    if images.dim() != 4 or labels.shape != (images.shape[0], *images.shape[2:]):
        raise ValueError(f"images must be (N, 3, H, W) and labels (N, H, W): {images.shape} and {labels.shape}")
    grid = _random_grid(images, config)
    if grid is not None:
        images = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        moved = functional.grid_sample(
            labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
        )
        labels = moved[:, 0].to(labels.dtype)
    return images, labels


def _random_grid(images: Tensor, config: AugmentConfig) -> Tensor | None:
    """(N, H, W, 2) sampling grid of random similarities; None when all are the identity."""
    if config.flip == config.rotate_degrees == config.scale == config.shift == 0:
        return None
    count, device = len(images), images.device
    angle = torch.randn(count, device=device) * math.radians(config.rotate_degrees)
    size = torch.exp(torch.randn(count, device=device) * config.scale)
    side = 1.0 - 2.0 * (torch.rand(count, device=device) < config.flip).float()
    shift = torch.randn(count, 2, device=device) * 2.0 * config.shift
    cosine, sine = torch.cos(angle) * size, torch.sin(angle) * size
    rows = torch.stack((cosine * side, -sine, shift[:, 0], sine * side, cosine, shift[:, 1]), 1)
    return functional.affine_grid(rows.view(count, 2, 3), list(images.shape), align_corners=False)


def change_light(images: Tensor, config: AugmentConfig) -> Tensor:
    """Vary white balance, exposure, contrast, colour, resolution and noise."""
    count, device = len(images), images.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    gain = torch.exp(normal(3, 1, 1) * config.gain)
    gamma = torch.exp(normal(1, 1, 1) * config.gamma)
    images = (images.clamp(1e-4, 1.0) ** gamma * gain).clamp(0, 1)
    grey = (torch.rand(count, 1, 1, 1, device=device) < config.grey).float()
    images = torch.lerp(images, luminance(images).expand_as(images), grey)
    if torch.rand(()).item() < config.blur:
        side = images.shape[-1]
        lower = max(8, round(side * (1.0 - torch.rand(()).item() * 2.0 / 3.0)))
        small = functional.interpolate(images, (lower, lower), mode="area")
        images = functional.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)
    strength = torch.rand(count, 1, 1, 1, device=device) * config.noise
    return (images + torch.randn_like(images) * strength).clamp(0, 1)
