"""The discriminator of the detail network: patches of a picture, the coarse render beside it (Isola et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from backend.rendering.color import LUMINANCE
from trainer.contracts import OptimizerConfig
from trainer.data.detail import DetailPictures


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Size of the discriminator, and how it moves."""

    widths: tuple[int, ...] = (32, 64, 128)
    """Channels; each layer halves the picture, the last convolutions leave it."""
    colours: bool = False
    """Whether it sees colours. Relief changes none, so that a discriminator that sees them tells freckles, and nothing
    that the generator could do."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(kind="adam", learning_rate=0.0002, betas=(0.5, 0.999))
    )
    """How its weights move; the paper says nothing, these are Isola et al.'s."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError("widths must be at least one number, all at least 1")


class PatchCritic(nn.Module):
    """Pairs of pictures to a number for each patch: near 1 for a photo, near 0 for a render."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.colours = config.colours
        inputs = 6 if config.colours else 2
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
        if not self.colours:
            grey = coarse.new_tensor(LUMINANCE).view(1, 3, 1, 1)
            coarse, pictures = ((one * grey).sum(1, keepdim=True) for one in (coarse, pictures))
        # most of a pair is the same in both: what differs is seen better as a difference
        return self.layers(torch.cat([2.0 * coarse - 1.0, 8.0 * (pictures - coarse)], 1)).float()


def shown_photos(pictures: DetailPictures) -> Tensor:
    """(P, 3, S, S) the photos where the mask shows skin, the coarse renders elsewhere: where no relief may be there is
    nothing to tell apart."""
    return pictures.coarse + pictures.mask * (pictures.photos - pictures.coarse)
