"""Patch discriminator of the detail network, conditioned on the coarse render (Isola et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trainer.contracts import OptimizerConfig
from trainer.data.detail import DetailPictures


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Size and optimizer of the discriminator."""

    widths: tuple[int, ...] = (32, 64, 128)
    """Channels; each layer halves the resolution, except the last convolution."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(kind="adam", learning_rate=0.0002, betas=(0.5, 0.999))
    )
    """Optimizer of its weights. The paper gives no settings; these are Isola et al.'s."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError("widths must be at least one number, all at least 1")


class PatchCritic(nn.Module):
    """Maps pairs of pictures to a number per patch: near 1 for a photo, near 0 for a render."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        inputs = 6
        layers: list[nn.Module] = []
        for number, outputs in enumerate(config.widths):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1))
            if number:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, coarse: Tensor, pictures: Tensor) -> Tensor:
        """(P, 1, s, s) float32 of coarse renders and pictures (P, 3, S, S), sRGB in [0, 1]."""
        # pairs are nearly equal: their difference, scaled up, is easier to learn from than the pictures
        return self.layers(torch.cat([2.0 * coarse - 1.0, 8.0 * (pictures - coarse)], 1)).float()


def shown_photos(pictures: DetailPictures) -> Tensor:
    """(P, 3, S, S) the photos where the mask is skin, the coarse renders elsewhere, so that pixels without relief give
    the discriminator no cue."""
    return pictures.coarse + pictures.mask * (pictures.photos - pictures.coarse)
