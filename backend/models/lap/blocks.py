"""Encoders and decoders of LAP: Unsup3D's backbones, multi-level codes, linear bases, filtered skip connections."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUP = 4
"""Channels per group of GroupNorm, as in Unsup3D (16 groups of 64 channels)."""


def level_count(size: int) -> int:
    """Number of halvings from ``size`` to 4. Raises ``ValueError`` unless size is a power of two and at least 16."""
    levels = round(math.log2(size / 4))
    if levels < 2 or 4 * 2**levels != size:
        raise ValueError(f"size must be a power of two from 16 on, not {size}")
    return levels


def level_widths(width: int, levels: int) -> list[int]:
    """Channels after each halving: doubled at most three times."""
    return [width * min(2**level, 8) for level in range(levels)]


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm over groups of ``GROUP`` channels."""
    return nn.GroupNorm(max(1, channels // GROUP), channels)


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """4 x 4 convolution with stride 2, GroupNorm, LeakyReLU 0.2."""
    convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(convolution, norm(outputs), nn.LeakyReLU(0.2, inplace=True))


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Nearest upsampling, 3 x 3 convolution, GroupNorm, ReLU."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        norm(outputs),
        nn.ReLU(inplace=True),
    )


class PlainEncoder(nn.Module):
    """Unsup3D's encoder for light and view: pictures (N, 3, S, S) to (N, outputs) in [-1, 1], initially near 0."""

    def __init__(self, size: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        layers: list[nn.Module] = []
        for inputs, channels in zip([3, *widths[:-1]], widths, strict=True):
            layers += [nn.Conv2d(inputs, channels, 4, 2, 1, bias=False), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(widths[-1], widths[-1], 4, 1, 0, bias=False), nn.ReLU(inplace=True)]
        last = nn.Conv2d(widths[-1], outputs, 1, bias=False)
        self.layers = nn.Sequential(*layers, last, nn.Tanh())
        for layer in layers:
            if isinstance(layer, nn.Conv2d):  # without norms torch's default initialisation makes the signal vanish
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        with torch.no_grad():
            last.weight.mul_(0.1)

    def forward(self, pictures: Tensor, more: Tensor | None = None) -> Tensor:
        """See the class; ``more`` (N, outputs) is added before the last activation."""
        if more is None:
            return self.layers(pictures).flatten(1)
        return torch.tanh(self.layers[:-1](pictures).flatten(1) + more)


class CodeEncoder(nn.Module):
    """The shared encoder of an aggregation network: (N, 3, S, S) to codes and weight logits, (N, C) each.

    LAP, section 4.1: a convolution and average pooling turn the features of every scale into a vector. The vectors and
    the 1 x 1 feature are concatenated and fused; channel-wise weights are learnt from the same input. With
    ``levels_pooled`` False only the 1 x 1 feature is used, as in Unsup3D. ``told`` (ours): number of additional input
    features that are fused with them. ``inputs``: channels of the pictures.
    """

    def __init__(
        self, size: int, width: int, code: int, pooled: int, levels_pooled: bool, told: int = 0, inputs: int = 3
    ) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        self.down = nn.ModuleList(
            halve(before, channels) for before, channels in zip([inputs, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.ModuleList(nn.Conv2d(channels, pooled, 1) for channels in widths) if levels_pooled else None
        self.top = nn.Conv2d(widths[-1], code, 4, 1, 0)
        self.fuse = nn.Linear(code + (pooled * len(widths) if levels_pooled else 0) + told, code)
        self.weigh = nn.Linear(self.fuse.in_features, code)
        with torch.no_grad():  # initially the plain mean
            self.weigh.weight.zero_()
            self.weigh.bias.zero_()

    def features(self, pictures: Tensor, told: Tensor | None = None) -> Tensor:
        """(N, F) features from which code and weights are made; F is the input size of ``fuse``. told : (N, told)."""
        vectors, x = [], pictures
        for number, layer in enumerate(self.down):
            x = layer(x)
            if self.pool is not None:
                vectors.append(functional.leaky_relu(self.pool[number](x), 0.2).mean((2, 3)))
        vectors.append(functional.leaky_relu(self.top(x), 0.2).flatten(1))
        return torch.cat(vectors if told is None else [*vectors, told], 1)

    def forward(self, pictures: Tensor, told: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, logits, features."""
        joined = self.features(pictures, told)
        return self.fuse(joined), self.weigh(joined), joined


class ViewOfFace(nn.Module):
    """Contribution of the person's face to the view: a photo's features (N, F) and its person's code (N, C) to (N, 6),
    initially zero."""

    def __init__(self, features: int, code: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features + code, 128), nn.ReLU(), nn.Linear(128, 6))
        nn.init.zeros_(self.layers[2].weight)
        nn.init.zeros_(self.layers[2].bias)

    def forward(self, features: Tensor, face: Tensor) -> Tensor:
        """See the class."""
        return self.layers(torch.cat([features, face.to(features.dtype)], 1))


class ConvolutionDecoder(nn.Module):
    """The paper's decoder, from Unsup3D: codes (N, C) to maps (N, K, S, S), without a final activation."""

    def __init__(self, size: int, width: int, code: int, channels: int) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(code, widths[0], 4, 1, 0, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False),
            nn.ReLU(inplace=True),
        ]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
                norm(outputs),
                nn.ReLU(inplace=True),
                nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
                norm(outputs),
                nn.ReLU(inplace=True),
            ]
        layers += [
            nn.Upsample(scale_factor=2),
            nn.Conv2d(widths[-1], widths[-1], 3, 1, 1, bias=False),
            norm(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], widths[-1], 5, 1, 2, bias=False),
            norm(widths[-1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[-1], channels, 5, 1, 2, bias=False),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """See the class."""
        return self.layers(code[:, :, None, None])


class ResidualDecoder(nn.Module):
    """Codes (N, C) to corrections (N, K, S, S), initially zero; works at S / 2 and below, ends in a pixel shuffle."""

    def __init__(self, size: int, width: int, code: int, channels: int) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))[::-1]
        self.start = nn.Linear(code, widths[0] * 16)
        self.up = nn.Sequential(*(double(a, b) for a, b in itertools.pairwise(widths)))
        self.last = nn.Conv2d(widths[-1], channels * 4, 3, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, code: Tensor) -> Tensor:
        """See the class."""
        x = functional.relu(self.start(code)).view(len(code), -1, 4, 4)
        return functional.pixel_shuffle(self.last(self.up(x)), 2)


class LinearDecoder(nn.Module):
    """Codes (N, C) to maps (N, K, S, S): a mean, a learnable linear basis, and a correction that is initially zero.

    Mean and basis come from a PCA (``set_basis``); they are stored at ``basis_size`` and enlarged to ``size``. With
    ``code`` 0 the codes are the coefficients.
    """

    def __init__(self, size: int, code: int, channels: int, components: int, basis_size: int, residual_width: int):
        super().__init__()
        self.size = size
        self.coefficients: nn.Module = nn.Identity()
        if code:
            self.coefficients = nn.Linear(code, components)
            with torch.no_grad():
                self.coefficients.weight.mul_(0.1)
                self.coefficients.bias.zero_()
        self.mean = nn.Parameter(torch.zeros(channels, basis_size, basis_size))
        self.basis = nn.Parameter(torch.zeros(components, channels, basis_size, basis_size))
        self.register_buffer("ready", torch.zeros(()))
        self.residual = ResidualDecoder(size, residual_width, code or components, channels) if residual_width else None

    @torch.no_grad()
    def set_basis(self, mean: Tensor, basis: Tensor) -> None:
        """Set the mean (K, S, S) and the components (M, K, S, S), one standard deviation each; both are resized."""
        wanted = self.basis.shape[-2:]
        count = min(len(basis), len(self.basis))
        self.mean.copy_(functional.interpolate(mean[None], wanted, mode="bilinear", antialias=True)[0])
        self.basis.zero_()
        self.basis[:count] = functional.interpolate(basis[:count], wanted, mode="bilinear", antialias=True)
        self.ready.fill_(1.0)

    def forward(self, code: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(code.device.type, enabled=False):  # half precision would turn normals into noise
            weights = self.coefficients(code.float())
            maps = self.mean + (weights @ self.basis.flatten(1)).view(-1, *self.basis.shape[1:])
        if maps.shape[-1] != self.size:
            maps = functional.interpolate(maps, (self.size, self.size), mode="bilinear", align_corners=False)
        return maps if self.residual is None else maps + self.residual(code)


class ConfidenceNet(nn.Module):
    """Unsup3D's confidence: (N, 3, S, S) to sigmas of pictures (N, 2, S, S) and features (N, 2, S / 4, S / 4), above 0.

    The first channel is for the rendered picture, the second for the one rendered from the flipped face.
    """

    def __init__(self, size: int, width: int, code: int) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        self.down = nn.Sequential(*(halve(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True)))
        self.code = nn.Sequential(nn.Conv2d(widths[-1], code, 4, 1, 0, bias=False), nn.ReLU(inplace=True))
        self.start = nn.Sequential(nn.ConvTranspose2d(code, widths[-1], 4, 1, 0, bias=False), nn.ReLU(inplace=True))
        falling = widths[::-1]
        self.up = nn.Sequential(*(double(a, b) for a, b in itertools.pairwise(falling[:-1])))
        self.features = nn.Conv2d(falling[-2], 2, 3, 1, 1)
        self.fine = nn.Sequential(
            double(falling[-2], falling[-1]), nn.Upsample(scale_factor=2), nn.Conv2d(falling[-1], 2, 5, 1, 2)
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        pictures = pictures.contiguous(memory_format=torch.channels_last)  # trains ten times as fast on a CPU
        x = self.up(self.start(self.code(self.down(pictures))))
        return functional.softplus(self.fine(x)), functional.softplus(self.features(x))


class Injection(nn.Module):
    """Attribute injection at one level: fuse the target's channel-weighted features with the canonical ones."""

    def __init__(self, channels: int, selected: bool) -> None:
        super().__init__()
        self.select = nn.Linear(2 * channels, channels) if selected else None
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, canonical: Tensor, target: Tensor) -> Tensor:
        """(N, C, H, W) both, to the same."""
        if self.select is not None:
            weights = torch.sigmoid(self.select(torch.cat([canonical, target], 1).mean((2, 3))))
            target = target * weights[:, :, None, None]
        return functional.leaky_relu(self.fuse(torch.cat([canonical, target], 1)), 0.2)


class FilteredConnection(nn.Module):
    """A skip connection through a spatial mask predicted from encoder and decoder features (LAP, figure 4)."""

    def __init__(self, channels: int, filtered: bool) -> None:
        super().__init__()
        self.mask = nn.Conv2d(2 * channels, 1, 3, 1, 1) if filtered else None
        self.join = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, 1, 1, bias=False), norm(channels), nn.ReLU())

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        """(N, C, H, W) both, to the same."""
        if self.mask is not None:
            encoder = encoder * torch.sigmoid(self.mask(torch.cat([encoder, decoder], 1)))
        return self.join(torch.cat([decoder, encoder], 1))


class RefiningNet(nn.Module):
    """The attribute-refining network of depth or albedo: canonical (N, K, S, S) and target photo (N, 3, S, S) to maps
    (N, K, S, S), without a final activation; initially zero.

    injection : ``selected`` at 8 x 8, 4 x 4 and 1 x 1 with channel weights (the paper); ``vector`` at 1 x 1 only and
    without channel weights (its ablation). filtered : whether skip connections go through masks.
    """

    def __init__(self, size: int, width: int, channels: int, injection: str, filtered: bool) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        pairs = list(itertools.pairwise(widths))
        self.canonical = nn.ModuleList([halve(channels, widths[0]), *(halve(a, b) for a, b in pairs)])
        self.target = nn.ModuleList([halve(3, widths[0]), *(halve(a, b) for a, b in pairs)])
        top = widths[-1]
        self.canonical_top = nn.Conv2d(top, top, 4, 1, 0)
        self.target_top = nn.Conv2d(top, top, 4, 1, 0)
        selected = injection == "selected"
        self.inject = nn.ModuleDict({"1": Injection(top, selected)})
        if selected:
            self.inject["4"], self.inject["8"] = Injection(top, True), Injection(widths[-2], True)
        self.start = nn.Sequential(nn.ConvTranspose2d(top, top, 4, 1, 0, bias=False), nn.ReLU(inplace=True))
        falling = widths[::-1]
        self.up = nn.ModuleList(double(a, b) for a, b in itertools.pairwise(falling))
        # skips at 16 x 16 and above; the target is injected below
        self.skips = nn.ModuleList(FilteredConnection(channels, filtered) for channels in falling[2:])
        self.last = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(widths[0], channels, 5, 1, 2))
        nn.init.zeros_(self.last[1].weight)
        nn.init.zeros_(self.last[1].bias)

    def forward(self, canonical: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        kept = []
        for own, other in zip(self.canonical, self.target, strict=True):
            canonical, target = own(canonical), other(target)
            side = str(canonical.shape[-1])
            if side in self.inject:
                canonical = self.inject[side](canonical, target)
            kept.append(canonical)
        x = self.inject["1"](self.canonical_top(canonical), self.target_top(target))
        x = self.start(x)
        for number, layer in enumerate(self.up):
            x = layer(x)  # 8, 16, ... S / 2
            if number:
                x = self.skips[number - 1](x, kept[-2 - number])
        return self.last(x)
