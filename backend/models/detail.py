"""The detail network (paper 4) and its run on one person's observations.

After Yang, Guo, Ye and Zhang (SIGGRAPH Asia 2020 posters), with Chen et al., Dynamic Region-Aware Convolution (CVPR
2021). An encoder turns photos, unwrapped into UV, into the attribute: patterns (wrinkle shapes), a guide (regions that
fold alike) and filters, which give the amplitude of each pattern from an expression map:

    displacement(expression) = sum_k pattern_k * (DRConv(expression map; filters, guide))_k + always
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.checkpoints import LoadedNetwork, NetworkConfig
from backend.models.registry import DETAIL

OBSERVED = 7
"""Channels of a photo in the UV window, see ``backend.detail.window``."""
EXPRESSED = 9
"""Channels of an expression map, see ``backend.detail.window``."""


@dataclass(frozen=True)
class DetailConfig(NetworkConfig):
    """Size of the network.

    Attributes
    ----------
    size : N, texels a side of the window. coarse : of the expression map. widths : channels at 1/2, 1/4, 1/8 and 1/16
        of N. patterns : K. regions : of the guide. kernel : side of the dynamic filters. expression_width : channels
        of the encoded expression map. millimetres : height of the network's unit.
    """

    size: int = 512
    coarse: int = 128
    widths: tuple[int, ...] = (16, 32, 48, 64)
    patterns: int = 12
    regions: int = 8
    kernel: int = 3
    expression_width: int = 16
    millimetres: float = 0.1

    def __post_init__(self) -> None:
        if self.size % 16 or self.size < 64 or self.size % self.coarse:
            raise ValueError(f"size must be a multiple of 16 and of coarse, at least 64, not {self.size}")
        if len(self.widths) != 4 or min(*self.widths, self.patterns, self.regions, self.expression_width) < 1:
            raise ValueError("widths must be four numbers, and all numbers at least 1")
        if self.kernel not in (1, 3, 5):
            raise ValueError(f"kernel must be 1, 3 or 5, not {self.kernel}")


class RegionAwareConvolution(nn.Module):
    """Dynamic region-aware convolution: every sample has its own filters, one set for each region of its guide.

    Filters: features pooled to k x k, a 1 x 1 convolution to G^2 channels, sigmoid, a grouped 1 x 1 convolution to
    G * C_out * C_in. The forward pass uses at each place the filter of the region with the largest guide value; the
    backward pass uses the softmax over all regions, so that the guide learns.
    """

    def __init__(self, features: int, inputs: int, outputs: int, regions: int, kernel: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.regions, self.kernel = inputs, outputs, regions, kernel
        self.squeeze = nn.Conv2d(features, regions * regions, 1)
        self.expand = nn.Conv2d(regions * regions, regions * outputs * inputs, 1, groups=regions)
        self.guide = nn.Conv2d(features, regions, 3, padding=1)

    def forward(self, values: Tensor, features: Tensor) -> Tensor:
        """(B, outputs, h, w) from values (B, inputs, h, w); filters and guide come from features (B, F, h, w)."""
        count, _, height, width = values.shape
        filters, guide = self.filters(features).flatten(3), self.guide(features)
        rows = functional.unfold(values, self.kernel, padding=self.kernel // 2)  # (B, inputs * k * k, h * w)
        if not torch.is_grad_enabled():  # only the filter that is used
            made, region = values.new_empty(count, self.outputs, height * width), guide.argmax(1).flatten(1)
            for one, number in ((b, g) for b in range(count) for g in range(self.regions)):
                places = (region[one] == number).nonzero()[:, 0]
                made[one].index_copy_(1, places, filters[one, number] @ rows[one].index_select(1, places))
            return made.view(count, self.outputs, height, width)
        regions = hard_regions(guide)
        every = filters.flatten(1, 2) @ rows  # (B, G * outputs, h * w)
        every = every.view(count, self.regions, self.outputs, height, width)
        return (every * regions[:, :, None]).sum(1)

    def filters(self, features: Tensor) -> Tensor:
        """(B, G, outputs, inputs, k * k) filters of features (B, F, h, w)."""
        pooled = functional.adaptive_avg_pool2d(features, self.kernel)
        made = self.expand(torch.sigmoid(self.squeeze(pooled)))
        scale = (self.inputs * self.kernel**2) ** -0.5
        return scale * made.view(len(features), self.regions, self.outputs, self.inputs, self.kernel**2)


def hard_regions(guide: Tensor) -> Tensor:
    """(B, G, h, w) one at the largest of the guide's (B, G, h, w) channels and zero elsewhere, with the gradient of the
    softmax."""
    soft = torch.softmax(guide, 1)
    hard = functional.one_hot(guide.argmax(1), guide.shape[1]).permute(0, 3, 1, 2).to(soft.dtype)
    return hard + soft - soft.detach()


@dataclass(frozen=True)
class Attribute:
    """Properties of a person's skin at any expression. B people.

    Attributes
    ----------
    patterns : (B, K, N, N) wrinkle patterns, in the network's unit. always : (B, 1, N, N) displacement at every
        expression. features : (B, F, n, n) input of the dynamic filters and their guide.
    """

    patterns: Tensor
    always: Tensor
    features: Tensor


class DetailNet(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: DetailConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third, fourth = config.widths
        self.where = nn.Parameter(0.1 * torch.randn(1, 8, 32, 32))
        self.expression_in = _block(EXPRESSED + 8, config.expression_width)
        self.expression_deep = _block(config.expression_width, config.expression_width)
        self.at_half = _block(4 * OBSERVED, first)
        self.at_quarter = nn.Sequential(_block(4 * first + EXPRESSED, second), _block(second, second))
        self.at_eighth = nn.Sequential(_block(second, third, 2), _block(third, third))
        self.at_sixteenth = nn.Sequential(_block(third + 8, fourth, 2), _block(fourth, fourth), _block(fourth, fourth))
        self.trust = nn.Conv2d(second, 1, 1)
        self.up_eighth = _block(fourth + third, third)
        self.up_quarter = _block(third + second + 8, second)
        self.up_half = _block(second + first, first)
        self.out_half = nn.Conv2d(first, 4 * (config.patterns + 1), 3, padding=1)
        self.dynamic = RegionAwareConvolution(
            second, config.expression_width, config.patterns, config.regions, config.kernel
        )
        with torch.no_grad():
            self.out_half.weight.mul_(0.3)

    def attribute(self, photos: Tensor, expressions: Tensor, person: Tensor, people: int | None = None) -> Attribute:
        """The attribute of each person, from all of their photos.

        Parameters
        ----------
        photos : (P, 7, N, N) observations. expressions : (P, 9, n, n) of the photos. person : (P,) ascending from 0.
        people : B, if known.
        """
        self._check(photos, (OBSERVED, self.config.size))
        self._check(expressions, (EXPRESSED, self.config.coarse))
        people = int(person[-1]) + 1 if people is None else people
        half = self.at_half(functional.pixel_unshuffle(photos, 2))
        size = self.config.size // 4
        cause = _resized(expressions, size)
        quarter = self.at_quarter(torch.cat([functional.pixel_unshuffle(half, 2), cause], 1))
        visible = functional.avg_pool2d(photos[:, 5:6], 4)
        share = (self.trust(quarter).float() + torch.log(visible + 0.01)).exp()
        half = _fused(half, _resized(share, size * 2), person, people)
        quarter = _fused(quarter, share, person, people)
        eighth = self.at_eighth(quarter)
        low = _resized(self.where.expand(people, -1, -1, -1), eighth.shape[-1])
        deep = self.at_sixteenth(torch.cat([eighth, low.to(eighth.dtype)], 1))
        up = self.up_eighth(torch.cat([_doubled(deep), eighth], 1))
        grid = _resized(self.where.expand(people, -1, -1, -1), size)
        features = self.up_quarter(torch.cat([_doubled(up), quarter, grid.to(up.dtype)], 1))
        fine = self.up_half(torch.cat([_doubled(features), half], 1))
        maps = functional.pixel_shuffle(self.out_half(fine), 2)
        coarse = functional.adaptive_avg_pool2d(features, self.config.coarse)
        return Attribute(maps[:, 1:], maps[:, :1], coarse)

    def displacement(self, attribute: Attribute, expressions: Tensor) -> Tensor:
        """(B, 1, N, N) outward displacement in millimetres of each person with an expression (B, 9, n, n)."""
        self._check(expressions, (EXPRESSED, self.config.coarse))
        grid = _resized(self.where.expand(len(expressions), -1, -1, -1), self.config.coarse)
        encoded = self.expression_deep(self.expression_in(torch.cat([expressions, grid.to(expressions.dtype)], 1)))
        out = self.dynamic(encoded, attribute.features)
        out = _resized(out, self.config.size)
        wrinkles = (attribute.patterns * out).sum(1, keepdim=True) * self.config.patterns**-0.5
        return (wrinkles + attribute.always).float() * self.config.millimetres

    def _check(self, values: Tensor, wanted: tuple[int, int]) -> None:
        channels, size = wanted
        if values.dim() != 4 or values.shape[1:] != (channels, size, size):
            raise ValueError(f"expected maps (n, {channels}, {size}, {size}), not {tuple(values.shape)}")


def repeated(attribute: Attribute, which: Sequence[int] | Tensor) -> Attribute:
    """The attributes with indices ``which``, one for each expression to apply."""
    chosen = torch.as_tensor(which, dtype=torch.int64, device=attribute.always.device)
    return Attribute(attribute.patterns[chosen], attribute.always[chosen], attribute.features[chosen])


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution, group norm, leaky ReLU."""
    groups = max(g for g in (8, 4, 2, 1) if outputs % g == 0)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.GroupNorm(groups, outputs), nn.LeakyReLU(0.1)
    )


def _fused(values: Tensor, share: Tensor, person: Tensor, people: int) -> Tensor:
    """(B, C, h, w) mean of each person's photos' values (P, C, h, w), weighted by share (P, 1, h, w)."""
    if len(values) == people:
        return values
    share = share.to(values.dtype)
    empty = values.new_zeros(people, *values.shape[1:])
    total = values.new_zeros(people, 1, *values.shape[2:]).index_add(0, person, share)
    return empty.index_add(0, person, values * share) / total.clamp(min=1e-6)


def _resized(values: Tensor, size: int) -> Tensor:
    """Resize bilinearly to (..., size, size)."""
    if values.shape[-1] == size:
        return values
    return functional.interpolate(values, (size, size), mode="bilinear", align_corners=False)


def _doubled(values: Tensor) -> Tensor:
    """Enlarge twofold, bilinear."""
    return functional.interpolate(values, scale_factor=2, mode="bilinear", align_corners=False)


class DetailModel(LoadedNetwork[DetailNet]):
    """The detail network."""

    model = DETAIL
    network_type, config_type = DetailNet, DetailConfig


@torch.inference_mode()
def displacements(model: DetailModel, photos: np.ndarray, expressions: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(T, N, N) float32 millimetres for wanted expressions (T, 9, n, n), from observations (P, 7, N, N) of one person
    and their expressions (P, 9, n, n)."""
    device, network = model.device, model.network.to(memory_format=torch.channels_last)  # a quarter faster on a CPU
    person = torch.zeros(len(photos), dtype=torch.int64, device=device)
    inputs = [torch.from_numpy(array).to(device) for array in (photos, expressions)]
    attribute = network.attribute(*inputs, person, 1)
    rows = [network.displacement(attribute, one[None]) for one in torch.from_numpy(wanted).to(device)]
    return torch.cat(rows)[:, 0].float().cpu().numpy()
