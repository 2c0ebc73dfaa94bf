"""Network for face parsing: the class of each pixel of a head crop (skin, hair, glasses and so on).

By default a U-net of depthwise-separable convolutions (Howard et al. 2017; Ronneberger et al. 2015), a million weights:
256 px in, class logits at 256 px out, all heavy work at 128 px and below.

``class_probabilities`` (used by ``apply.py``) runs the net at three scales: the head, the face, a square between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backend.models.checkpoints import LoadedNetwork, ModelWeights, NetworkConfig
from backend.models.mobile_trunk import WHOLE, FrozenTrunk, MobileTrunk, load_beside_imagenet, normalised
from backend.models.registry import PARSING, PARSING_OPINION
from backend.photos.collection import FaceClass
from backend.photos.faces import Window, face_square

CLASS_NAMES: tuple[str, ...] = tuple(face_class.name.lower() for face_class in FaceClass)


@dataclass(frozen=True)
class ParsingNetConfig(NetworkConfig):
    """Size of the net.

    Attributes
    ----------
    widths : channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size.
    depths : blocks at each of these scales on the way down.
    size : side of the square input in pixels, a multiple of 32.
    class_count : number of classes.
    trunk : kind of encoder. ``lite0`` is the beginning of EfficientNet-Lite0, with its own widths and depths down to
        1/16; it can start from ImageNet's weights, for a net that labels portraits for others. ``lite0_frozen`` is the
        whole of it with frozen ImageNet weights, of which only scales and shifts are trained.
    """

    widths: tuple[int, int, int, int, int] = (32, 64, 128, 192, 256)
    depths: tuple[int, int, int, int, int] = (1, 2, 3, 3, 3)
    size: int = 256
    class_count: int = len(FaceClass)
    trunk: Literal["separable", "lite0", "lite0_frozen"] = "separable"

    def __post_init__(self) -> None:
        if self.size % 32 or self.size < 32:
            raise ValueError(f"size must be a multiple of 32, not {self.size}")
        if min(*self.widths, *self.depths) < 1:
            raise ValueError("widths and depths must be at least 1")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ParsingNetConfig:
        """From the configuration in an exported model; other keys are ignored."""
        return super().from_json(values | {"class_count": len(values["classes"])})

    def to_json(self) -> dict[str, Any]:
        """Values for ``from_json``, with the names of the classes."""
        values = super().to_json()
        return values | {"classes": list(CLASS_NAMES[: values.pop("class_count")])}


class ConvolutionNorm(nn.Sequential):
    """Convolution, batch norm, ReLU (or none)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, relu: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))

    def fused(self) -> nn.Sequential:
        """The same as one convolution with a bias, for inference."""
        return nn.Sequential(fuse_conv_bn_eval(self[0], self[1]), *list(self)[2:])


class SeparableBlock(nn.Module):
    """3 x 3 depthwise, then 1 x 1 convolution, with a shortcut where the shapes agree. Such a block is initialised as
    the identity on non-negative values (Goyal et al. 2017), so that a deeper net can start from a trained one."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvolutionNorm(inputs, inputs, 3, stride, groups=inputs)
        self.pointwise = ConvolutionNorm(inputs, outputs, 1, relu=False)
        self.shortcut = stride == 1 and inputs == outputs
        if self.shortcut:
            nn.init.zeros_(self.pointwise[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.pointwise(self.depthwise(x))
        return functional.relu(x + y) if self.shortcut else functional.relu(y)


def _blocks(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
    """``depth`` blocks, the first of which changes width and size."""
    rest = [SeparableBlock(outputs, outputs) for _ in range(depth - 1)]
    return nn.Sequential(SeparableBlock(inputs, outputs, stride), *rest)


class ParsingNet(nn.Module):
    """Pictures (N, 3, S, S) in [0, 1], sRGB, to class logits (N, C, S, S); S any multiple of 32."""

    def __init__(self, config: ParsingNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, depths = config.widths, config.depths
        self.down = nn.ModuleList()
        if config.trunk == "lite0":
            self.trunk = MobileTrunk()
            skip_widths = MobileTrunk.widths()
            self.down.append(_blocks(skip_widths[-1], widths[-1], depths[-1], stride=2))
        elif config.trunk == "lite0_frozen":
            self.trunk = FrozenTrunk()
            *skip_widths, last = MobileTrunk.widths(WHOLE)
            self.down.append(_blocks(last, widths[-1], depths[-1], stride=1))
        else:
            self.stem = ConvolutionNorm(3, widths[0], 3, stride=2)
            skip_widths = widths[:-1]
            for scale, (width, depth) in enumerate(zip(widths, depths, strict=True)):
                self.down.append(_blocks(widths[max(scale - 1, 0)], width, depth, stride=2 if scale else 1))
        self.context = nn.Conv2d(widths[-1], widths[-1], 1)
        self.up = nn.ModuleList()
        for scale in range(len(widths) - 2, -1, -1):
            self.up.append(UpBlock(widths[scale + 1], skip_widths[scale], widths[scale]))
        self.head = nn.Conv2d(widths[0], 4 * config.class_count, 1)
        with torch.no_grad():  # equal weights for the pixels of a 2 x 2 block: no checkerboard (Aitken et al. 2017)
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, 0))
            self.head.bias.zero_()

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class; raises ``ValueError`` for wrong shapes."""
        if pictures.dim() != 4 or pictures.shape[1] != 3 or pictures.shape[2] % 32 or pictures.shape[3] % 32:
            raise ValueError(f"pictures must be (N, 3, H, W) with sides of a multiple of 32, not {pictures.shape}")
        if self.config.trunk == "lite0":
            scales = self.trunk(normalised(pictures))
            x = scales[-1]
        elif self.config.trunk == "lite0_frozen":
            *scales, x = self.trunk(normalised(pictures))
        else:
            scales, x = [], self.stem((pictures - 0.45) * 4.0)
        for blocks in self.down:
            x = blocks(x)
            scales.append(x)
        x = functional.relu(x + self.context(x.mean((2, 3), keepdim=True)))
        for block, skip in zip(self.up, scales[-2::-1], strict=True):
            x = block(x, skip)
        return functional.pixel_shuffle(self.head(x), 2)

    def fused(self) -> ParsingNet:
        """A copy for inference with every batch norm folded into its convolution."""
        copy = ParsingNet(self.config)
        copy.load_state_dict(self.state_dict())
        copy.eval()
        if self.config.trunk != "separable":
            copy.trunk.fuse()
        for module in list(copy.modules()):
            for name, child in module.named_children():
                if isinstance(child, ConvolutionNorm):
                    setattr(module, name, child.fused())
        return copy


class UpBlock(nn.Module):
    """Doubles the size and adds the encoder's features of that size."""

    def __init__(self, inputs: int, skip_width: int, outputs: int) -> None:
        super().__init__()
        self.narrow = ConvolutionNorm(inputs, outputs, 1, relu=False)
        self.skip = ConvolutionNorm(skip_width, outputs, 1, relu=False)
        self.blocks = nn.Sequential(SeparableBlock(outputs, outputs), SeparableBlock(outputs, outputs))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, inputs, H, W) and (N, skip_width, 2H, 2W) to (N, outputs, 2H, 2W)."""
        larger = functional.interpolate(self.narrow(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.blocks(functional.relu(larger + self.skip(skip)))


class FaceParser(LoadedNetwork[ParsingNet]):
    """The trained net for photographs."""

    model = PARSING

    @classmethod
    def build(cls, weights: ModelWeights) -> ParsingNet:
        """The net for inference. Raises ``LikenessError`` (``missing_part``) also where a frozen trunk's file is
        damaged."""
        network = ParsingNet(ParsingNetConfig.from_json(weights.config))
        load_beside_imagenet(network, weights)
        return network.fused().to(memory_format=torch.channels_last)

    @property
    def size(self) -> int:
        """Side of the net's input in pixels."""
        return self.network.config.size

    @torch.inference_mode()
    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(C, size, size) float32 class probabilities of a (S, S, 3) uint8 crop at the net's own resolution."""
        return self._logits(pixels).softmax(1)[0].cpu().numpy()

    def _logits(self, pixels: np.ndarray) -> Tensor:
        """(1, C, size, size) float32."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.shape[0] != pixels.shape[1] or pixels.dtype != np.uint8:
            raise ValueError(f"pixels must be (S, S, 3) uint8, not {pixels.shape} {pixels.dtype}")
        picture = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(2, 0, 1)[None].float() / 255.0
        picture = functional.interpolate(
            picture, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
        )
        return self.network(picture.contiguous(memory_format=torch.channels_last)).float()


class SecondParser(FaceParser):
    """The second net, on EfficientNet-Lite0: ``apply.py`` asks it about hair and what is behind it."""

    model = PARSING_OPINION
    needs = (PARSING.name,)


_BETWEEN_SHARE, _NEAR_SHARE = 0.5, 0.6  # weights of the middle square's result, and of the face's
_RAMP = 0.12  # of a square's side: width of the fade to full weight inside its border


def class_probabilities(parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities of a head crop (S, S, 3) uint8 sRGB with landmarks (478, 2 or 3) in it.

    The face is 0.4 of a head crop's side, so at 256 px a wire frame is thinner than a pixel. So the net also runs on
    the square around the face (``face_square``) and on one half-way between it and the crop. Each result is averaged
    into the previous one within its square.
    """
    result = wide_probabilities(parser, pixels, landmarks)
    face = face_square(landmarks)
    near = face.cut(pixels, parser.size)
    _average_in(result, (parser.probabilities(near) + _of_mirror_image(parser, near)) / 2, face, _NEAR_SHARE)
    return result


def wide_probabilities(parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities without the scale of the face alone; sufficient for large classes."""
    side = pixels.shape[0]
    result = _resized(parser.probabilities(pixels), (side, side))
    face = face_square(landmarks)
    middle = (np.asarray(face.centre) + side / 2) / 2
    between = Window((float(middle[0]), float(middle[1])), (face.side + side) / 2)
    _average_in(result, _of_mirror_image(parser, between.cut(pixels, parser.size)), between, _BETWEEN_SHARE)
    return result


def _of_mirror_image(parser: FaceParser, pixels: np.ndarray) -> np.ndarray:
    """Probabilities of the mirror image, mirrored back; the net's errors differ from those for the picture."""
    return parser.probabilities(np.ascontiguousarray(pixels[:, ::-1]))[:, :, ::-1]


def _average_in(result: np.ndarray, seen: np.ndarray, window: Window, most: float) -> None:
    """Average probabilities ``seen`` (C, R, R) of an upright window into those of the crop (C, S, S), in place."""
    side = result.shape[1]
    corner = np.round(np.asarray(window.centre) - window.side / 2).astype(int)
    length = max(8, round(window.side))
    low, high = np.maximum(corner, 0), np.minimum(corner + length, side)
    if (high <= low).any():
        return
    inside = np.s_[:, low[1] - corner[1] : high[1] - corner[1], low[0] - corner[0] : high[0] - corner[0]]
    share = most * _fading(length)[inside[1:]]
    part = result[:, low[1] : high[1], low[0] : high[0]]
    part += share * (_resized(seen, (length, length))[inside] - part)


def _resized(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, height, width) float32, bilinear, or area-averaged when smaller."""
    way = cv2.INTER_AREA if size[0] < probabilities.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, size[::-1], interpolation=way) for channel in probabilities])


def _fading(length: int) -> np.ndarray:
    """(length, length) float32: 1 inside, falling to 0 at the border."""
    border = np.minimum(np.arange(length) + 0.5, np.arange(length)[::-1] + 0.5) / (_RAMP * length)
    edge = np.clip(border, 0, 1).astype(np.float32)
    return np.minimum(edge[:, None], edge[None])
