"""The beginning of EfficientNet-Lite0 (Tan & Le 2019): inverted residuals without squeeze-and-excite, ReLU6."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the sRGB channels in [0, 1] of the pictures that the weights were trained on."""
_EPSILON = 1e-3
_STEM_WIDTH = 32
_STAGES = ((16, 1, 3, 1, 1), (24, 6, 3, 2, 2), (40, 6, 5, 2, 2), (80, 6, 3, 2, 3), (112, 6, 5, 1, 3))
"""Outputs, expansion, kernel, stride of the first block, number of blocks."""
_NAMES = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""What the layers of a block are called in the state dict of the package ``efficientnet-lite-pytorch``."""


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
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        x = self.norm(self.convolution(x if self.outside is None else functional.pad(x, self.outside)))
        return functional.relu6(x) if self.activated else x

    def fuse(self) -> None:
        """Fold the batch norm, as it is in eval mode, into the convolution."""
        self.convolution = fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())
        self.norm = nn.Identity()


class InvertedResidual(nn.Module):
    """Wider by a 1 x 1 convolution, depthwise, narrower by another (Sandler et al. 2018)."""

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
    """Pictures (N, 3, S, S), normalised, to what is found at 1/2, 1/4, 1/8 and 1/16 of their size.

    stages : how many of the five stages of EfficientNet-Lite0 there are, 2 to 5; the last two have the same size.
    """

    def __init__(self, stages: int = len(_STAGES)) -> None:
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
    def widths(stages: int = len(_STAGES)) -> tuple[int, ...]:
        """Channels of what ``forward`` returns."""
        at_scale: list[int] = []
        for outputs, _, _, stride, _ in _STAGES[:stages]:
            at_scale = [*(at_scale if stride > 1 else at_scale[:-1]), outputs]
        return tuple(at_scale)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """See the class."""
        x = self.stem(pictures)
        found: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            if found and found[-1].shape[-1] == x.shape[-1]:
                found.pop()
            found.append(x)
        return found

    def fuse(self) -> None:
        """Fold every batch norm, as it is in eval mode, into its convolution."""
        for module in self.modules():
            if isinstance(module, SameConvolution):
                module.fuse()

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights from the state dict of the package ``efficientnet-lite-pytorch``, whole or its beginning.

        Raises ``KeyError`` for another one.
        """
        self.load_state_dict({own: state[theirs] for own, theirs in self.imagenet_names().items()})

    def imagenet_names(self) -> dict[str, str]:
        """What each entry of this state dict is called in that of the package ``efficientnet-lite-pytorch``."""
        layers = {"stem": ("_conv_stem", "_bn0")}
        blocks = (
            (f"stages.{at}.{place}", block) for at, stage in enumerate(self.stages) for place, block in enumerate(stage)
        )
        for number, (prefix, block) in enumerate(blocks):
            for name, layer in block.named_children():
                if isinstance(layer, SameConvolution):
                    convolution, norm = _NAMES[name]
                    layers[f"{prefix}.{name}"] = (f"_blocks.{number}.{convolution}", f"_blocks.{number}.{norm}")
        names = {}
        for own in self.state_dict():
            layer, part, entry = own.rsplit(".", 2)
            names[own] = f"{layers[layer][part == 'norm']}.{entry}"
        return names


def normalised(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W), sRGB in [0, 1], as networks trained on ImageNet take them."""
    mean, deviation = pictures.new_tensor(IMAGENET_MEAN), pictures.new_tensor(IMAGENET_DEVIATION)
    return (pictures - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
