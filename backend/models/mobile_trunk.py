"""EfficientNet-Lite0 without its classifier (Tan & Le 2019): inverted residuals without squeeze-and-excite, ReLU6.

``assets/lite0`` has its ImageNet weights (Apache-2.0); ``tools/lite0.py`` converted them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backend.models.checkpoints import ModelWeights, load_model, load_weights_into

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of the sRGB channels in [0, 1] of ImageNet's pictures."""
_EPSILON = 1e-3
_STEM_WIDTH = 32
_STAGES = (
    (16, 1, 3, 1, 1), (24, 6, 3, 2, 2), (40, 6, 5, 2, 2), (80, 6, 3, 2, 3), (112, 6, 5, 1, 3), (192, 6, 5, 2, 4),
    (320, 6, 3, 1, 1),
)  # fmt: skip
"""Outputs, expansion, kernel, stride of the first block, number of blocks."""
TO_A_SIXTEENTH, WHOLE = 5, len(_STAGES)
"""Number of stages down to 1/16 of the size, and of all stages."""
_LEFT_ALONE = 3
"""Stages of a ``FrozenTrunk`` that are not tuned: down to 1/8, where gradients are expensive and features general."""


class SameConvolution(nn.Module):
    """Convolution with TensorFlow's padding for even sides, batch norm, ReLU6 (or none)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activated: bool = True
    ) -> None:
        super().__init__()
        inside = kernel // 2 if stride == 1 else 0
        self.outside = (kernel // 2 - 1, kernel // 2) * 2 if stride > 1 else None
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, inside, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=_EPSILON)
        self.tuned: nn.Module = nn.Identity()
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        x = self.tuned(self.norm(self.convolution(x if self.outside is None else functional.pad(x, self.outside))))
        return functional.relu6(x) if self.activated else x

    def fuse(self) -> None:
        """Fold the batch norm (in eval mode) and the tuning into the convolution."""
        self.convolution = fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())
        self.norm = nn.Identity()
        if isinstance(self.tuned, ChannelTuning):
            with torch.no_grad():
                factor = 1.0 + self.tuned.scale
                self.convolution.weight *= factor[:, None, None, None]
                self.convolution.bias.mul_(factor).add_(self.tuned.shift)
            self.tuned = nn.Identity()


class ChannelTuning(nn.Module):
    """A learnt scale and shift per channel, initially the identity, to tune a layer with frozen weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        return x * (1.0 + self.scale)[:, None, None] + self.shift[:, None, None]


class InvertedResidual(nn.Module):
    """Inverted residual block: 1 x 1 expansion, depthwise convolution, 1 x 1 projection (Sandler et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.shortcut = stride == 1 and inputs == outputs
        self.expand = SameConvolution(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = SameConvolution(inner, inner, kernel, stride, groups=inner)
        self.project = SameConvolution(inner, outputs, 1, activated=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class MobileTrunk(nn.Module):
    """Normalised pictures (N, 3, S, S) to feature maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of their size.

    stages : number of the seven stages of EfficientNet-Lite0 to use, 2 to 7; the fourth and the fifth have the same
        size, and so have the last two.
    """

    def __init__(self, stages: int = TO_A_SIXTEENTH) -> None:
        super().__init__()
        if not 2 <= stages <= len(_STAGES):
            raise ValueError(f"stages must be 2 to {len(_STAGES)}, not {stages}")
        self.stem = SameConvolution(3, _STEM_WIDTH, 3, 2)
        self.stages = nn.ModuleList()
        width = _STEM_WIDTH
        for outputs, expansion, kernel, stride, count in _STAGES[:stages]:
            first = InvertedResidual(width, outputs, expansion, kernel, stride)
            rest = [InvertedResidual(outputs, outputs, expansion, kernel, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            width = outputs

    @staticmethod
    def widths(stages: int = TO_A_SIXTEENTH) -> tuple[int, ...]:
        """Channels of the feature maps that ``forward`` returns."""
        at_scale: list[int] = []
        for outputs, _, _, stride, _ in _STAGES[:stages]:
            at_scale = [*(at_scale if stride > 1 else at_scale[:-1]), outputs]
        return tuple(at_scale)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """See the class."""
        x = self.stem(pictures)
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            if features and features[-1].shape[-1] == x.shape[-1]:
                features.pop()
            features.append(x)
        return features

    def fuse(self) -> None:
        """Fold all batch norms (in eval mode) and all tuning into the convolutions."""
        for module in self.modules():
            if isinstance(module, SameConvolution):
                module.fuse()

    def load_imagenet(self) -> None:
        """Load ImageNet's weights. Raises ``LikenessError`` ("missing_part") where their file is missing or damaged."""
        self.load_state_dict(self.state_dict() | self.imagenet_weights())

    def imagenet_weights(self) -> dict[str, Tensor]:
        """The entries of the state dict that ImageNet's training made; raises as ``load_imagenet``."""
        stored = load_model("lite0").tensors
        return {name: stored[name] for name in self.imagenet_names()}

    def imagenet_names(self) -> list[str]:
        """Names of these entries: all but tuning and counters of training."""
        entries = (name.rsplit(".", 2) for name in self.state_dict())
        return [".".join(parts) for parts in entries if parts[1] != "tuned" and parts[2] != "num_batches_tracked"]


class FrozenTrunk(MobileTrunk):
    """All of EfficientNet-Lite0 with frozen ImageNet weights; only scales and shifts (``ChannelTuning``) of the stages
    from 1/16 on are learnt. It stays in eval mode, because the batch norms' statistics are also ImageNet's."""

    def __init__(self) -> None:
        super().__init__(WHOLE)
        self.requires_grad_(False)
        for stage in self.stages[_LEFT_ALONE:]:
            for module in stage.modules():
                if isinstance(module, SameConvolution):
                    module.tuned = ChannelTuning(module.convolution.out_channels)
        self.train()

    def train(self, mode: bool = True) -> FrozenTrunk:
        """Stay in eval mode for any ``mode``."""
        return super().train(False)


def trainable_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict without the ImageNet weights of frozen trunks, and without training counters."""
    frozen = {f"{place}.{name}" for place, trunk in _frozen(network) for name in trunk.imagenet_names()}
    return {
        name: value
        for name, value in network.state_dict().items()
        if name not in frozen and not name.endswith("num_batches_tracked")
    }


def load_beside_imagenet(network: nn.Module, weights: ModelWeights) -> None:
    """Load exported weights and, into frozen trunks, ImageNet's. Raises ``LikenessError`` ("missing_part") where the
    weights do not fit or the trunk's are missing."""
    tensors = dict(weights.tensors)
    for place, trunk in _frozen(network):
        tensors |= {f"{place}.{name}": value for name, value in trunk.imagenet_weights().items()}
    load_weights_into(network, replace(weights, tensors=tensors))


def _frozen(network: nn.Module) -> list[tuple[str, FrozenTrunk]]:
    return [(place, module) for place, module in network.named_modules() if isinstance(module, FrozenTrunk)]


def normalised(pictures: Tensor) -> Tensor:
    """Normalise pictures (N, 3, H, W), sRGB in [0, 1], for networks trained on ImageNet."""
    mean, deviation = pictures.new_tensor(IMAGENET_MEAN), pictures.new_tensor(IMAGENET_DEVIATION)
    return (pictures - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
