"""Losses that several methods use: photometric with deviation (Unsup3D's, and LAP's relaxed consistency), and
perceptual with fixed features: VGG-16 or EfficientNet-Lite0.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.mobile_trunk import MobileTrunk, normalised

EPSILON = 1e-7
SCALE_PEOPLE = 8
"""People whose pictures give the scale of perceptual features."""
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
    return _masked_mean(value, mask[:, None], weight)  # equation 5 divides by the relaxed mask's sum


def feature_distance(rendered: Tensor, photos: Tensor, sigma: Tensor, mask: Tensor) -> Tensor:
    """Unsup3D's perceptual loss: masked mean of (f1 - f2)^2 / (2 sigma^2) + log sigma.

    rendered, photos : (N, C, h, w) features. sigma : (N, 1, any, any) above 0 and mask : (N, H, W) are resized to h, w.
    """
    size = rendered.shape[-2:]
    if sigma.shape[-2:] != size:
        sigma = functional.interpolate(sigma, size, mode="bilinear", align_corners=False)
    weight = functional.adaptive_avg_pool2d(mask[:, None], size)
    value = (rendered - photos) ** 2 / (2 * sigma**2 + EPSILON) + torch.log(sigma + EPSILON)
    return _masked_mean(value, weight, weight)


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


def _masked_mean(values: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Sum of (N, C, H, W) over a mask (N, 1, H, W) by the sum of ``weight``, such as the mask; 0 for an empty one."""
    return (values * mask).sum() / (weight.sum() * values.shape[1]).clamp(min=1)


_VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256)
"""Channel widths of VGG-16 up to relu3_3; 0 is a max pooling."""
_LITE0_STAGES, _LITE0_ALL = 2, 7
"""Number of EfficientNet-Lite0's stages: down to a quarter of the picture's size, like relu3_3."""


@dataclass(frozen=True, kw_only=True)
class PerceptualConfig:
    """Choice of the compared features."""

    vgg16_weights: str = ""
    """A file with torchvision's ``vgg16`` state dict, whose relu3_3 is the paper's layer; empty: EfficientNet-Lite0 at
    the same scale."""
    layers: Literal[1, 5] = 1
    """5: EfficientNet-Lite0 gives a layer of each of its scales, for losses that sum over layers."""


class Features(nn.Module):
    """Map pictures (N, 3, S, S) in [-1, 1] to features (N, C, S / 4, S / 4), without training. ``name`` identifies
    them."""

    name = ""

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        raise TypeError(f"{type(self).__name__} gives no features")

    def each(self, pictures: Tensor) -> list[Tensor]:
        """All compared layers, the finest first."""
        return [self(pictures)]


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

    layers : of ``each``.
    """

    name = "efficientnet-lite0"

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.trunk = MobileTrunk(_LITE0_STAGES if layers == 1 else _LITE0_ALL)
        self.layers = layers
        self.trunk.load_imagenet()
        self.trunk.fuse()

    def forward(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        return self._all(pictures)[1]

    def each(self, pictures: Tensor) -> list[Tensor]:
        """See ``Features``."""
        return self._all(pictures)[-self.layers :]

    def _all(self, pictures: Tensor) -> list[Tensor]:
        pictures = normalised((pictures + 1) / 2).contiguous(memory_format=torch.channels_last)  # four times as fast
        return self.trunk(pictures)


class FeatureScale(nn.Module):
    """The usual difference of a feature layer between two pictures, measured once on training pictures and kept with
    the weights: in units of it, squared differences are about 1 between unlike pictures, whichever network they come
    from, so that a loss's weight means the same for all of them.

    value : 0 until measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))

    @torch.no_grad()
    def measure(self, features: Tensor) -> None:
        """Take the root mean square difference, over channels and pairs of pictures and places, of features
        (N, C, h, w): the root of twice the variance."""
        self.value.copy_((2 * features.float().var((0, 2, 3)).mean()).sqrt().clamp(min=EPSILON))

    def forward(self, features: Tensor) -> Tensor:
        """Features in units of it."""
        return features / self.value


def build_features(config: PerceptualConfig, device: torch.device) -> Features:
    """Build the features, frozen.

    Raises
    ------
    ValueError : what the configuration names is missing.
    """
    if config.vgg16_weights and not Path(config.vgg16_weights).is_file():
        raise ValueError(f"vgg16_weights {config.vgg16_weights!r} is no file")
    named = Path(config.vgg16_weights) if config.vgg16_weights else None
    features = EfficientNetFeatures(config.layers) if named is None else VggFeatures(named)
    features.requires_grad_(False)
    return features.to(device).eval()
