"""LAP's networks (paper 1): configuration, Unsup3D's backbones with multi-level codes and filtered skips, and the
whole.

Zhang et al., "Learning to Aggregate and Personalize 3D Face from In-the-Wild Photo Collection" (CVPR 2021), on
Unsup3D's networks (Wu et al., CVPR 2020). Codes of all photos of a set are averaged with channel-wise softmax weights
and decoded once (section 4.1); light, view and confidence come from each photo; the attribute-refining networks modify
the shared face for one photo (section 4.2).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.checkpoints import NetworkConfig
from backend.rendering import depth_surface
from backend.rendering.camera import LAP_ROTATION_DEGREES, LAP_TRANSLATION, CanonicalCamera, View, view_from_network

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


def halvings(inputs: int, widths: list[int], published: bool) -> nn.ModuleList:
    """4 x 4 convolutions with stride 2, GroupNorm, LeakyReLU 0.2, down to 4 x 4; there Unsup3D has no norm."""
    layers = nn.ModuleList()
    for before, channels in itertools.pairwise([inputs, *widths]):
        normed = [] if published and len(layers) == len(widths) - 1 else [norm(channels)]
        convolution = nn.Conv2d(before, channels, 4, 2, 1, bias=False)
        layers.append(nn.Sequential(convolution, *normed, nn.LeakyReLU(0.2, inplace=True)))
    return layers


def convolve(inputs: int, outputs: int, side: int) -> list[nn.Module]:
    """Convolution of ``side`` x ``side``, GroupNorm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, side, 1, side // 2, bias=False)
    return [convolution, norm(outputs), nn.ReLU(inplace=True)]


def double(inputs: int, outputs: int, published: bool = False) -> nn.Sequential:
    """Unsup3D's transposed 4 x 4 convolution, or nearest upsampling and a 3 x 3 one; GroupNorm, ReLU."""
    if published:
        transposed = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)
        return nn.Sequential(transposed, norm(outputs), nn.ReLU(inplace=True))
    return nn.Sequential(nn.Upsample(scale_factor=2), *convolve(inputs, outputs, 3))


def first_level(code: int, width: int, published: bool = False) -> nn.Sequential:
    """Codes (N, C, 1, 1) to 4 x 4; ``published`` with Unsup3D's second convolution."""
    layers = [nn.ConvTranspose2d(code, width, 4, 1, 0, bias=False), nn.ReLU(inplace=True)]
    if published:
        layers += [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def last_level(width: int, channels: int) -> nn.Sequential:
    """Unsup3D's way from S / 2 to S: nearest upsampling and three convolutions."""
    last = nn.Conv2d(width, channels, 5, 1, 2, bias=False)
    return nn.Sequential(double(width, width), *convolve(width, width, 5), last)


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
    the 1 x 1 feature are concatenated and fused; channel-wise weights are learnt from the same input. Without
    ``pooled`` only the 1 x 1 feature is used, as in Unsup3D.
    """

    def __init__(self, size: int, width: int, code: int, pooled: int, published: bool) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        self.down = halvings(3, widths, published)
        self.pool = nn.ModuleList(nn.Conv2d(channels, pooled, 1) for channels in widths) if pooled else None
        self.top = nn.Conv2d(widths[-1], code, 4, 1, 0)
        self.fuse = nn.Linear(code + pooled * len(widths), code)
        self.weigh = nn.Linear(self.fuse.in_features, code)
        with torch.no_grad():  # initially the plain mean
            self.weigh.weight.zero_()
            self.weigh.bias.zero_()

    def features(self, pictures: Tensor) -> Tensor:
        """(N, F) features from which code and weights are made; F is the input size of ``fuse``."""
        vectors, x = [], pictures
        for number, layer in enumerate(self.down):
            x = layer(x)
            if self.pool is not None:
                vectors.append(functional.leaky_relu(self.pool[number](x), 0.2).mean((2, 3)))
        vectors.append(functional.leaky_relu(self.top(x), 0.2).flatten(1))
        return torch.cat(vectors, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, logits, features."""
        joined = self.features(pictures)
        return self.fuse(joined), self.weigh(joined), joined


class ConvolutionDecoder(nn.Module):
    """The paper's decoder, from Unsup3D: codes (N, C) to maps (N, K, S, S), without a final activation."""

    def __init__(self, size: int, width: int, code: int, channels: int) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))[::-1]
        layers: list[nn.Module] = [first_level(code, widths[0], True)]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [double(inputs, outputs, True), *convolve(outputs, outputs, 3)]
        self.layers = nn.Sequential(*layers, last_level(widths[-1], channels))

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

    Mean and basis come from a PCA (``set_basis``).
    """

    def __init__(self, size: int, code: int, channels: int, components: int, residual_width: int) -> None:
        super().__init__()
        self.coefficients = nn.Linear(code, components)
        with torch.no_grad():
            self.coefficients.weight.mul_(0.1)
            self.coefficients.bias.zero_()
        self.mean = nn.Parameter(torch.zeros(channels, size, size))
        self.basis = nn.Parameter(torch.zeros(components, channels, size, size))
        self.register_buffer("ready", torch.zeros(()))
        self.residual = ResidualDecoder(size, residual_width, code, channels) if residual_width else None

    @torch.no_grad()
    def set_basis(self, mean: Tensor, basis: Tensor) -> None:
        """Set the mean (K, S, S) and the components (M, K, S, S), one standard deviation each."""
        count = min(len(basis), len(self.basis))
        self.mean.copy_(mean)
        self.basis.zero_()
        self.basis[:count] = basis[:count]
        self.ready.fill_(1.0)

    def forward(self, code: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(code.device.type, enabled=False):  # half precision would turn normals into noise
            weights = self.coefficients(code.float())
            maps = self.mean + (weights @ self.basis.flatten(1)).view(-1, *self.basis.shape[1:])
        return maps if self.residual is None else maps + self.residual(code)


class ConfidenceNet(nn.Module):
    """Unsup3D's confidence: (N, 3, S, S) to sigmas of pictures (N, 2, S, S) and features (N, 2, S / 4, S / 4), above 0.

    The first channel is for the rendered picture, the second for the one rendered from the flipped face.
    """

    def __init__(self, size: int, width: int, code: int, published: bool) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        self.down = nn.Sequential(*halvings(3, widths, published))
        self.code = nn.Sequential(nn.Conv2d(widths[-1], code, 4, 1, 0, bias=False), nn.ReLU(inplace=True))
        self.start = first_level(code, widths[-1])
        falling = widths[::-1]
        self.up = nn.Sequential(*(double(a, b, published) for a, b in itertools.pairwise(falling[:-1])))
        self.features = nn.Conv2d(falling[-2], 2, 3, 1, 1, bias=not published)
        last = double(width, width, True) if published else nn.Upsample(scale_factor=2)
        fine = nn.Conv2d(width, 2, 5, 1, 2, bias=not published)
        self.fine = nn.Sequential(double(falling[-2], width, published), last, fine)

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
    (N, K, S, S), without a final activation.

    injection : ``selected`` at 8 x 8, 4 x 4 and 1 x 1 with channel weights (the paper); ``vector`` at 1 x 1 only and
    without channel weights (its ablation). filtered : whether skip connections go through masks. published : decodes
    as Unsup3D does.
    """

    def __init__(self, size: int, width: int, channels: int, injection: str, filtered: bool, published: bool) -> None:
        super().__init__()
        widths = level_widths(width, level_count(size))
        self.canonical = halvings(channels, widths, published)
        self.target = halvings(3, widths, published)
        top = widths[-1]
        self.canonical_top = nn.Conv2d(top, top, 4, 1, 0)
        self.target_top = nn.Conv2d(top, top, 4, 1, 0)
        selected = injection == "selected"
        self.inject = nn.ModuleDict({"1": Injection(top, selected)})
        if selected:
            self.inject["4"], self.inject["8"] = Injection(top, True), Injection(widths[-2], True)
        self.start = first_level(top, top, published)
        falling = widths[::-1]
        self.up = nn.ModuleList(double(a, b, published) for a, b in itertools.pairwise(falling))
        if published:
            for layer in self.up:
                layer.extend(convolve(layer[1].num_channels, layer[1].num_channels, 3))
        # skips at 16 x 16 and above; the target is injected below
        self.skips = nn.ModuleList(FilteredConnection(channels, filtered) for channels in falling[2:])
        plain = nn.Conv2d(width, channels, 5, 1, 2)
        nn.init.zeros_(plain.bias)
        self.last = last_level(width, channels) if published else nn.Sequential(nn.Upsample(scale_factor=2), plain)

    def forward(self, canonical: Tensor, target: Tensor) -> Tensor:
        """See the class."""
        skips = []
        for own, other in zip(self.canonical, self.target, strict=True):
            canonical, target = own(canonical), other(target)
            side = str(canonical.shape[-1])
            if side in self.inject:
                canonical = self.inject[side](canonical, target)
            skips.append(canonical)
        x = self.inject["1"](self.canonical_top(canonical), self.target_top(target))
        x = self.start(x)
        for number, layer in enumerate(self.up):
            x = layer(x)  # 8, 16, ... S / 2
            if number:
                x = self.skips[number - 1](x, skips[-2 - number])
        return self.last(x)


@dataclass(frozen=True)
class LapConfig(NetworkConfig):
    """Architecture of the networks; the defaults are the paper's.

    Attributes
    ----------
    size : side of the photos and of canonical maps in aggregation, a power of two from 16 on.
    depth_width, albedo_width : channels of the aggregation encoders' (and the paper's decoders') first level.
    code : channels of the identity codes. pooled : length of the vector of each of the encoder's levels; 0: only the
        last level counts.
    fusion : ``adaptive`` softmax weights; ``average``.
    decoder : ``convolution`` (the paper; confidence and refiners are then Unsup3D's, too), or ``linear``: mean, basis
        and a correction that is initially zero.
    depth_components, albedo_components : of the linear bases. depth_residual, albedo_residual : width of the
        corrections; 0: none.
    scene_width : channels of the first level of the encoders of light and view. view_head : the view also uses the
        depth encoder's features. mirrored_views : in eval mode a view is the mean of the views from the picture and
        from its mirror image.
    confidence_width, confidence_code : of the confidence network.
    refine_width : channels of the refining networks' first level. injection, filtered : see ``RefiningNet``.
    refine_residual : the refining networks predict changes of the shared maps instead of new maps.
    depth_range : of the canonical depth. border_columns, border_depth : this many columns at the left and right border
        are set to this depth.
    rotation_degrees, translation : largest turn and shifts of a view.
    """

    size: int = 128
    depth_width: int = 64
    albedo_width: int = 64
    code: int = 256
    pooled: int = 64
    fusion: Literal["adaptive", "average"] = "adaptive"
    decoder: Literal["convolution", "linear"] = "convolution"
    depth_components: int = 96
    albedo_components: int = 64
    depth_residual: int = 8
    albedo_residual: int = 8
    scene_width: int = 32
    view_head: bool = False
    mirrored_views: bool = False
    confidence_width: int = 64
    confidence_code: int = 128
    refine_width: int = 64
    injection: Literal["selected", "vector"] = "selected"
    filtered: bool = True
    refine_residual: bool = False
    depth_range: tuple[float, float] = (0.9, 1.1)
    border_columns: int = 2
    border_depth: float = 1.05
    rotation_degrees: float = LAP_ROTATION_DEGREES
    translation: tuple[float, float, float] = LAP_TRANSLATION

    def __post_init__(self) -> None:
        level_count(self.size)
        if self.depth_range[0] >= self.depth_range[1]:
            raise ValueError(f"depth_range must rise, not {self.depth_range}")

    @property
    def view_depth_range(self) -> tuple[float, float]:
        """Range of depths in a view: the canonical range, widened by the paper's margin and the largest shift."""
        margin = 0.1 + self.translation[2]
        return self.depth_range[0] - margin, self.depth_range[1] + margin


_EDGE = 0.97
"""Canonical values are clamped to this share of their range before the inverse tanh."""


@dataclass(frozen=True)
class CanonicalMaps:
    """Depth (G, S, S) and albedo (G, 3, S, S) in [-1, 1], facing the camera; sRGB as in the paper."""

    depth: Tensor
    albedo: Tensor

    def flipped(self) -> CanonicalMaps:
        """Left and right exchanged."""
        return CanonicalMaps(self.depth.flip(-1), self.albedo.flip(-1))

    def of(self, rows: Tensor) -> CanonicalMaps:
        """Select the sets ``rows`` (N,)."""
        return CanonicalMaps(self.depth.index_select(0, rows), self.albedo.index_select(0, rows))

    def shaded(self, light: depth_surface.LambertLight) -> Tensor:
        """(G, 3, S, S) the canonical picture in [-1, 1] under one light each."""
        camera = CanonicalCamera(tuple(self.depth.shape[-2:]))
        return depth_surface.lambert_image(self.albedo, depth_surface.normals_from_depth(self.depth, camera), light)


@dataclass(frozen=True)
class Scene:
    """Light and view of each of N photos."""

    light: depth_surface.LambertLight
    view: View

    def with_mirrored(self) -> Scene:
        """The same light and view for faces and their mirror images."""
        light, view = self.light, self.view
        return Scene(
            type(light)(light.ambient.repeat(2), light.diffuse.repeat(2), light.direction.repeat(2, 1)),
            View(view.rotation.repeat(2, 1, 1), view.translation.repeat(2, 1)),
        )


@dataclass(frozen=True)
class Codes:
    """Identity codes (N, C) and the logits (N, C) of their weights, for depth and for albedo (None if not computed);
    the features (N, F) of the depth encoder, which the view may use."""

    depth: Tensor
    depth_logits: Tensor
    features: Tensor
    albedo: Tensor | None = None
    albedo_logits: Tensor | None = None

    def of(self, rows: Tensor) -> Codes:
        """Select photos, by indices (M,) or by a mask (N,)."""
        known = (getattr(self, field.name) for field in fields(self))
        return Codes(*(None if values is None else values[rows] for values in known))


class LapNet(nn.Module):
    """All networks. Pictures are (N, 3, S, S) in [-1, 1], sRGB, the square of ``photos.faces.crop.face_square``."""

    def __init__(self, config: LapConfig) -> None:
        super().__init__()
        self.config = c = config
        published = c.decoder == "convolution"
        self.depth_encoder = CodeEncoder(c.size, c.depth_width, c.code, c.pooled, published)
        self.albedo_encoder = CodeEncoder(c.size, c.albedo_width, c.code, c.pooled, published)
        if not published:
            self.depth_decoder: nn.Module = LinearDecoder(c.size, c.code, 1, c.depth_components, c.depth_residual)
            self.albedo_decoder: nn.Module = LinearDecoder(c.size, c.code, 3, c.albedo_components, c.albedo_residual)
        else:
            self.depth_decoder = ConvolutionDecoder(c.size, c.depth_width, c.code, 1)
            self.albedo_decoder = ConvolutionDecoder(c.size, c.albedo_width, c.code, 3)
        self.light = PlainEncoder(c.size, c.scene_width, 4)
        self.view = PlainEncoder(c.size, c.scene_width, 6)
        self.view_head = nn.Linear(self.depth_encoder.fuse.in_features, 6) if c.view_head else None
        if self.view_head is not None:
            nn.init.zeros_(self.view_head.weight)
            nn.init.zeros_(self.view_head.bias)
        self.confidence = ConfidenceNet(c.size, c.confidence_width, c.confidence_code, published)
        self.depth_refiner = RefiningNet(c.size, c.refine_width, 1, c.injection, c.filtered, published)
        self.albedo_refiner = RefiningNet(c.size, c.refine_width, 3, c.injection, c.filtered, published)
        if c.refine_residual:  # begins with the shared face
            for refiner in (self.depth_refiner, self.albedo_refiner):
                nn.init.zeros_(refiner.last[-1].weight)

    def encode(self, pictures: Tensor) -> Codes:
        """The codes of each picture alone."""
        albedo, albedo_logits, _ = self.albedo_encoder(pictures)
        return replace(self.encode_depth(pictures), albedo=albedo, albedo_logits=albedo_logits)

    def encode_depth(self, pictures: Tensor) -> Codes:
        """``encode`` without albedo, which suffices for depth and views."""
        return Codes(*self.depth_encoder(pictures))

    def aggregate(self, codes: Codes, set_of: Tensor) -> CanonicalMaps:
        """The shared face of each set (equation 4). ``set_of`` (N,) int64 : index of each code's set, from 0."""
        albedo = fuse_codes(codes.albedo, codes.albedo_logits, set_of, self.config.fusion)
        return self.decode(self.depth_codes(codes, set_of), albedo)

    def depth_codes(self, codes: Codes, set_of: Tensor) -> Tensor:
        """(G, C) fused codes from which the depth of sets is decoded."""
        return fuse_codes(codes.depth, codes.depth_logits, set_of, self.config.fusion)

    def decode(self, depth_code: Tensor, albedo_code: Tensor) -> CanonicalMaps:
        """The faces of fused codes (G, C)."""
        return CanonicalMaps(self.decode_depth(depth_code), torch.tanh(self.albedo_decoder(albedo_code).float()))

    def decode_depth(self, depth_code: Tensor) -> Tensor:
        """The depth (G, S, S) of fused codes (G, C)."""
        raw = self.depth_decoder(depth_code)[:, 0].float()
        if self.config.decoder == "convolution":
            raw = raw - raw.mean((1, 2), keepdim=True)
        return self.depth_from_raw(raw)

    def shape(self, pictures: Tensor, set_of: Tensor) -> tuple[Tensor, View]:
        """Only the depth (G, S, S) of the sets and the views of the pictures, as in ``forward``, at half its cost."""
        codes = self.encode_depth(pictures)
        return self.decode_depth(self.depth_codes(codes, set_of)), self._view(pictures, codes.features)

    def scene(self, pictures: Tensor, codes: Codes) -> Scene:
        """Light and view of each picture, from its codes."""
        view = self._view(pictures, codes.features)
        if self.config.mirrored_views and not self.training:
            mirrored = pictures.flip(-1)
            features = codes.features if self.view_head is None else self.depth_encoder.features(mirrored)
            view = mean_of_views(view, mirrored_view(self._view(mirrored, features)))
        return Scene(depth_surface.light_from_network(self.light(pictures).float()), view)

    def _view(self, pictures: Tensor, features: Tensor) -> View:
        more = pictures.new_zeros(len(pictures), 6)
        if self.view_head is not None:
            more = more + self.view_head(features)
        said, config = self.view(pictures, more).float(), self.config
        return view_from_network(said, rotation_degrees=config.rotation_degrees, translation=config.translation)

    def personalize(self, pictures: Tensor, face: CanonicalMaps) -> CanonicalMaps:
        """The faces (N, ...) of sets, personalised to target pictures (N, 3, S, S)."""
        depth, albedo = face.depth[:, None], face.albedo
        near, far = self.config.depth_range
        unit = (depth - (near + far) / 2) / ((far - near) / 2)  # the networks' inputs are in [-1, 1]
        raw_depth = self.depth_refiner(unit, pictures)[:, 0].float()
        raw_albedo = self.albedo_refiner(albedo, pictures).float()
        if self.config.refine_residual:
            raw_depth = raw_depth + self.raw_depth(depth[:, 0])
            raw_albedo = raw_albedo + torch.atanh(albedo.clamp(-_EDGE, _EDGE))
        else:
            raw_depth = raw_depth - raw_depth.mean((1, 2), keepdim=True)
        return CanonicalMaps(self.depth_from_raw(raw_depth), torch.tanh(raw_albedo))

    def depth_from_raw(self, raw: Tensor) -> Tensor:
        """Raw maps (N, S, S) to canonical depth, with the border columns set to ``border_depth``."""
        near, far = self.config.depth_range
        depth = (near + far) / 2 + (far - near) / 2 * torch.tanh(raw)
        columns = self.config.border_columns
        if columns:
            inner = depth[:, :, columns:-columns]
            depth = functional.pad(inner, (columns, columns), value=self.config.border_depth)
        return depth

    def raw_depth(self, depth: Tensor) -> Tensor:
        """The inverse of ``depth_from_raw``, clamped to the range."""
        near, far = self.config.depth_range
        return torch.atanh(((depth - (near + far) / 2) / ((far - near) / 2)).clamp(-_EDGE, _EDGE))

    def forward(self, pictures: Tensor, set_of: Tensor) -> tuple[CanonicalMaps, Scene]:
        """The shared faces of all sets, light and view of all pictures."""
        codes = self.encode(pictures)
        return self.aggregate(codes, set_of), self.scene(pictures, codes)


def mirrored_view(view: View) -> View:
    """The view with left and right exchanged, as in a mirror image."""
    side = view.rotation.new_tensor([-1.0, 1.0, 1.0])
    return View(view.rotation * side * side[:, None], view.translation * side)


def mean_of_views(first: View, second: View) -> View:
    """Mean of two views, (N, 3, 3) and (N, 3) each."""
    u, _, vh = torch.linalg.svd((first.rotation + second.rotation) / 2)
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh)
    return View((u * sign[:, None]) @ vh, (first.translation + second.translation) / 2)


def fuse_codes(codes: Tensor, logits: Tensor, set_of: Tensor, fusion: str = "adaptive") -> Tensor:
    """Fuse codes (N, C) of photos to codes (G, C) of sets: see ``LapConfig.fusion``.

    The order of the photos does not matter beyond rounding. A set of one keeps its code.
    """
    counts = torch.bincount(set_of)
    start = torch.cumsum(counts, 0) - counts
    order = torch.argsort(set_of, stable=True)
    slot = torch.empty_like(set_of)
    slot[order] = torch.arange(len(set_of), device=set_of.device) - start[set_of[order]]
    shape = (len(counts), int(counts.max()), codes.shape[1])
    weights = torch.full(shape, -torch.inf, device=codes.device)
    weights[set_of, slot] = torch.zeros_like(codes).float() if fusion == "average" else logits.float()
    padded = torch.zeros(shape, device=codes.device)
    padded[set_of, slot] = codes.float()
    return (weights.softmax(1) * padded).sum(1)
