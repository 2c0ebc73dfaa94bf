"""ResNet-50 without its classifier (He et al. 2016), of variable width."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_BLOCKS = (3, 4, 6, 3)
"""Bottlenecks at 1/4, 1/8, 1/16 and 1/32 of the picture."""
_GROWTH = 4
"""Channels of a bottleneck's output over those inside it."""


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions with a shortcut; the stride is in the 3 x 3 one (ResNet version 1.5)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _GROWTH * width
        self.narrow = _convolution(inputs, width, 1)
        self.across = _convolution(width, width, 3, stride)
        self.widen = _convolution(width, outputs, 1)
        nn.init.zeros_(self.widen[1].weight)  # initialise as the shortcut alone (Goyal et al. 2017)
        plain = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if plain else _convolution(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 4 width, H / stride, W / stride)."""
        y = functional.relu(self.narrow(x))
        y = self.widen(functional.relu(self.across(y)))
        return functional.relu(y + self.shortcut(x))


class ResidualTrunk(nn.Module):
    """Pictures (N, 3, S, S), normalised, to (N, 32 width) features: the mean over the picture, as in ResNet-50.

    width : channels of the first convolution; ResNet-50 has 64, and thus 2048 features.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = _convolution(3, width, 7, 2)
        self.stages = nn.ModuleList()
        inputs, inner = width, width
        for number, count in enumerate(_BLOCKS):
            blocks = []
            for place in range(count):
                blocks.append(Bottleneck(inputs, inner, 2 if number and place == 0 else 1))
                inputs = _GROWTH * inner
            self.stages.append(nn.Sequential(*blocks))
            inner *= 2
        self.width = inputs

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        x = functional.max_pool2d(functional.relu(self.stem(pictures)), 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
