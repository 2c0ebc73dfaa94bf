"""Stage ``detail``: the network that predicts wrinkles from photos and expressions, trained on skin with known relief
and on photos alone.

Maps are (B, 1, N, N), millimetres, outwards; masks (1 or B, 1, N, N) in [0, 1]. The losses on pictures (P, 3, S, S),
sRGB in [0, 1], are section 2.5's of Yang et al. (SIGGRAPH Asia 2020 posters), with EfficientNet-Lite0's features in
place of FaceNet's and a patch discriminator that sees the coarse render, too (Isola et al. 2017).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.detail import DetailConfig, DetailNet, repeated
from backend.models.mobile_trunk import WHOLE, MobileTrunk, normalised
from backend.models.registry import DETAIL
from backend.rendering.color import linear_from_srgb, srgb_from_linear
from trainer.engine.contracts import ExportedModel, OptimizerConfig, ParameterGroup, Stage, StageConfig, Turn
from trainer.losses import SCALE_PEOPLE, FeatureScale
from trainer.methods.detail.data import TARGETS, DetailBatch, DetailPictures, pooled_texels

_ROBUST_SCALE = 0.1
"""Millimetres (and millimetres per texel), transition from squared to absolute differences. Most wrinkles are smaller,
so that the optimum is the mean where the input leaves the relief open."""
_LEAST_LIGHT = 1e-3
"""Lower bound of linear light (and of differences of colours), so that roots and logarithms have bounded slopes."""


def height_error(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of heights, millimetres."""
    return _mean(_robust(predicted - truth), mask)


def slope_error(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean robust difference of slopes, millimetres per texel: the part of relief that is visible in shading."""
    across, down = slopes(predicted - truth)
    return _mean(_robust(across) + _robust(down), mask)


def slopes(heights: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives (B, 1, N, N) of heights to the right and down, per texel, by central differences (one-sided at the
    edges)."""
    down, across = torch.gradient(heights, dim=(2, 3))
    return across, down


def relief_light(displacement: Tensor, photos: Tensor) -> Tensor:
    """(P, 1, N, N) change of the logarithm of the light due to relief, to first order, ``-(b . slope)``, for photos
    (P, 7, N, N) of ``backend.detail.window.observe``."""
    across, down = slopes(displacement)
    return -(photos[:, 3:4] * across + photos[:, 4:5] * down)


def refined_pictures(coarse: Tensor, change: Tensor, places: Tensor, mask: Tensor, pool: int = 1) -> Tensor:
    """(P, 3, S, S) the coarse renders with the relief's shading.

    Parameters
    ----------
    coarse : (P, 3, S, S) sRGB. change : (P, 1, N, N) of the logarithm of the light, in the window. places :
        (P, S, S, 2) position of each pixel in the window, -1 to 1. mask : (P, 1, S, S), of the face. pool : average
        pool x pool texels first, against aliasing.
    """
    change = functional.avg_pool2d(change, pool) if pool > 1 else change
    change = functional.grid_sample(change, places, align_corners=False) * mask
    return srgb_from_linear((linear_from_srgb(coarse.clamp(min=_LEAST_LIGHT)) * change.exp()).clamp(_LEAST_LIGHT, 1.0))


def pixel_error(rendered: Tensor, photos: Tensor, mask: Tensor) -> Tensor:
    """Section 2.5.1, masked pixel-wise loss, in the picture: mean distance of colours where the photo shows the face.

    The paper gives no equation; this one is from Deng et al. (2019), whose regressor it uses.
    """
    apart = ((rendered - photos).square().sum(1, keepdim=True) + _LEAST_LIGHT**2).sqrt() - _LEAST_LIGHT
    return _mean(apart, mask)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator loss of section 2.5.3 (Mao et al. 2017, equation 9): targets are 1 for photos, 0 for renders."""
    return 0.5 * ((real - 1.0).square().mean() + fake.square().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Generator loss against it: the target for its renders is 1."""
    return 0.5 * (fake - 1.0).square().mean()


def detail_size(predicted: Tensor, mask: Tensor) -> Tensor:
    """The paper's equation 2, as a mean: distance of the detailed surface from the coarse one, millimetres."""
    return _mean(_robust(predicted), mask)


def _robust(values: Tensor) -> Tensor:
    return (values.square() + _ROBUST_SCALE**2).sqrt() - _ROBUST_SCALE


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


class IdentityFeatures(nn.Module):
    """EfficientNet-Lite0 (ImageNet, Apache-2.0), features at 1/8 to 1/32, averaged over the picture's 3 x 3 cells;
    frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileTrunk(WHOLE)
        self.trunk.load_imagenet()
        self.trunk.fuse()
        self.requires_grad_(False)
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """(P, F) of pictures (P, 3, S, S), sRGB in [0, 1]."""
        scales = self.trunk(normalised(pictures).contiguous(memory_format=torch.channels_last))[2:]
        parts = [functional.adaptive_avg_pool2d(one, 3).flatten(1).float() for one in scales]
        return torch.cat([functional.normalize(one, dim=1) for one in parts], 1)


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Size and optimizer of the discriminator."""

    widths: tuple[int, ...] = (32, 64, 128)
    """Channels; each layer halves the resolution, except the last convolution."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(kind="adam", learning_rate=0.0002, betas=(0.5, 0.999))
    )
    """Optimizer of its weights. The paper gives no settings; these are Isola et al.'s."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError("widths must be at least one number, all at least 1")


class PatchCritic(nn.Module):
    """Maps pairs of pictures to a number per patch: near 1 for a photo, near 0 for a render."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        inputs = 6
        layers: list[nn.Module] = []
        for number, outputs in enumerate(config.widths):
            layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1))
            if number:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.Conv2d(inputs, 1, 3, 1, 1))

    def forward(self, coarse: Tensor, pictures: Tensor) -> Tensor:
        """(P, 1, s, s) float32 of coarse renders and pictures (P, 3, S, S), sRGB in [0, 1]."""
        # pairs are nearly equal: their difference, scaled up, is easier to learn from than the pictures
        return self.layers(torch.cat([2.0 * coarse - 1.0, 8.0 * (pictures - coarse)], 1)).float()


def shown_photos(pictures: DetailPictures) -> Tensor:
    """(P, 3, S, S) the photos where the mask is skin, the coarse renders elsewhere, so that pixels without relief give
    the discriminator no cue."""
    return pictures.coarse + pictures.mask * (pictures.photos - pictures.coarse)


@dataclass(frozen=True, kw_only=True)
class DetailWeights:
    """Weights of the loss terms."""

    height: float = 1.0
    """Difference from the true displacement, millimetres."""
    slope: float = 4.0
    """Difference from its slopes, millimetres a texel."""
    pixels: float = 0.0
    """The paper's pixel-wise loss, in the picture. Like all terms below it needs no ground truth."""
    identity: float = 0.0
    """The paper's perceptual loss: one minus the cosine of features of refined render and photo, in units of its usual
    value between two photos, as the paper's identity features have about 1 between two people."""
    adversary: float = 0.0
    """The paper's adversarial loss, the generator's part."""
    size: float = 0.0
    """The paper's detail regularisation; decays to zero over ``DetailStageConfig.size_ends``."""


@dataclass(frozen=True, kw_only=True)
class DetailStageConfig(StageConfig):
    """Trains ``backend.models.detail.DetailNet``."""

    network: DetailConfig = field(default_factory=DetailConfig)
    """Size of the network."""
    weights: DetailWeights = field(default_factory=DetailWeights)
    """Weights of the loss terms."""
    size_ends: float = 0.5
    """Fraction of the stage after which the detail regularisation ends."""
    critic: CriticConfig | None = None
    """The discriminator of the term ``adversary``, or None."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.adversary and self.critic is None:
            raise ValueError("the term adversary needs a critic")

    def build(self, device: torch.device) -> Stage:
        """See ``StageConfig``."""
        return DetailStage(self, device)


class DetailStage(Stage):
    """See ``DetailStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Displacement of the skin in UV map `Head`, millimetres, for any expression of a person. Input: the person's "
        "photos unwrapped into UV with the fit's light, and the deformation of the smooth mesh by the expression."
    )
    LIMITS: ClassVar[str] = (
        "Trained on synthetic skin only, with rule-based relief: lines across the direction in which expressions "
        "compress the skin, folds, bags, moles. Where no photo shows the skin its output is typical skin. It cannot "
        "predict scars; stubble or hair in front of the skin may leave traces."
    )

    def __init__(self, config: DetailStageConfig, device: torch.device) -> None:
        self.config = config
        modules: dict[str, nn.Module] = {"net": DetailNet(config.network)}
        if config.critic is not None:
            modules["critic"] = PatchCritic(config.critic)
        self.modules = nn.ModuleDict(modules).to(device)
        self._features = IdentityFeatures().to(device) if config.weights.identity else None
        if self._features is not None:
            self.modules["feature_scale"] = FeatureScale().to(device)

    def step(self, batch: DetailBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute the terms of ``DetailWeights``: means over displaceable skin, or over its visible part in photos.
        Terms without ground truth or without weight are zero."""
        net, config, weights = self.modules["net"], self.config, self.config.weights
        people = len(batch.has_truth)
        attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
        terms = dict.fromkeys(DetailWeights.__dataclass_fields__, attribute.always.new_zeros((), dtype=torch.float32))
        regular = weights.size and fraction < config.size_ends
        if batch.has_truth.any() or regular:
            targets = torch.arange(people, device=batch.person.device).repeat_interleave(TARGETS)
            displacement = net.displacement(repeated(attribute, targets), batch.wanted) * batch.allowed
        if batch.has_truth.any():
            mask = batch.allowed * batch.has_truth.repeat_interleave(TARGETS).view(-1, 1, 1, 1)
            terms["height"] = height_error(displacement, batch.displacement, mask)
            terms["slope"] = slope_error(displacement, batch.displacement, mask)
        if regular:
            terms["size"] = (1.0 - fraction / config.size_ends) * detail_size(displacement, batch.allowed)
        if weights.pixels or weights.identity or weights.adversary:
            displaced = net.displacement(repeated(attribute, batch.person), batch.expressions) * batch.allowed
            terms.update(self._photo_terms(batch, displaced))
        return terms

    def _photo_terms(self, batch: DetailBatch, displacement: Tensor) -> dict[str, Tensor]:
        """Compute the terms of the photos for the displacement (P, 1, N, N) with each photo's expression."""
        weights, terms = self.config.weights, {}
        pictures = _pictures(batch)
        refined = _refined(pictures, displacement, batch.photos)
        if weights.pixels:
            terms["pixels"] = pixel_error(refined, pictures.photos, pictures.mask)
        if weights.identity:
            scale = self._measured_scale(refined.device)
            with torch.no_grad():
                wanted = scale(self._features(shown_photos(pictures)))
            # all features are of one length: this is one minus their cosine, in units of its value for unlike pictures
            terms["identity"] = (scale(self._features(refined)) - wanted).square().mean()
        if weights.adversary:
            terms["adversary"] = generator_loss(self.modules["critic"](pictures.coarse, refined))
        return terms

    def _measured_scale(self, device: torch.device) -> FeatureScale:
        """The features' usual difference between photos, measured once on the source's first people."""
        scale = self.modules["feature_scale"]
        if scale.value.item() == 0:
            first = _pictures(self.config.source.build().batch(range(SCALE_PEOPLE), device))
            scale.measure(self._features(shown_photos(first))[:, :, None, None])
        return scale

    def turns(self) -> Sequence[Turn]:
        """The network's turn, then the discriminator's if there is one."""
        critic = self.config.critic
        if critic is None:
            return super().turns()
        groups = (ParameterGroup("critic", tuple(self.modules["critic"].parameters()), lambda fraction: 1.0),)
        weights = SimpleNamespace(discrimination=1.0)
        return (*super().turns(), Turn("critic", critic.optimizer, groups, self._critic_step, weights))

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The network's weights."""
        return (ParameterGroup("all", tuple(self.modules["net"].parameters()), lambda fraction: 1.0),)

    def _critic_step(self, batch: DetailBatch, fraction: float) -> Mapping[str, Tensor]:
        net, critic, pictures = self.modules["net"], self.modules["critic"], _pictures(batch)
        with torch.no_grad():
            attribute = net.attribute(batch.photos, batch.expressions, batch.person, len(batch.has_truth))
            displaced = net.displacement(repeated(attribute, batch.person), batch.expressions) * batch.allowed
            refined = _refined(pictures, displaced, batch.photos)
        real = critic(pictures.coarse, shown_photos(pictures))
        return {"discrimination": discriminator_loss(real, critic(pictures.coarse, refined))}

    def metrics(self, batches: Iterable[DetailBatch]) -> Mapping[str, float]:
        """For ``rest``, ``seen`` (the first photo's expression) and ``unseen`` (in no photo): ``correlation`` of
        predicted and true slopes, and ``error`` of heights relative to zero displacement. ``neutral.unseen``: the
        relative error of the displacement predicted at rest, for the unseen expression."""
        sums: dict[str, list[float]] = {}
        net = self.modules["net"]
        for batch in batches:
            people = len(batch.has_truth)
            attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
            targets = torch.arange(people, device=batch.person.device).repeat_interleave(TARGETS)
            displacement = net.displacement(repeated(attribute, targets), batch.wanted) * batch.allowed
            for number, kind in enumerate(("rest", "seen", "unseen")):
                predicted, truth = displacement[number::TARGETS], batch.displacement[number::TARGETS]
                for person in range(people):
                    one, true = predicted[person : person + 1], truth[person : person + 1]
                    sums.setdefault(f"correlation.{kind}", []).append(slope_correlation(one, true, batch.allowed))
                    none = height_error(torch.zeros_like(true), true, batch.allowed)
                    error = height_error(one, true, batch.allowed)
                    sums.setdefault(f"error.{kind}", []).append(float(error / none.clamp(min=1e-6)))
                    if kind == "unseen":
                        still = displacement[person * TARGETS : person * TARGETS + 1]
                        error = height_error(still, true, batch.allowed)
                        sums.setdefault("neutral.unseen", []).append(float(error / none.clamp(min=1e-6)))
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def export(self) -> ExportedModel:
        """The network, for ``backend.detail``."""
        state = dict(self.modules["net"].state_dict())
        return ExportedModel(DETAIL.name, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)


def _pictures(batch: DetailBatch) -> DetailPictures:
    if batch.pictures is None:
        raise ValueError("losses on pictures need a source with pictures: set its picture to a size in pixels")
    return batch.pictures


def _refined(pictures: DetailPictures, displacement: Tensor, photos: Tensor) -> Tensor:
    """(P, 3, S, S) the coarse renders refined by displacements (P, 1, N, N)."""
    pool = pooled_texels(displacement.shape[-1], pictures.coarse.shape[-1])
    change = relief_light(displacement, photos)
    return refined_pictures(pictures.coarse, change, pictures.places, pictures.mask, pool)


def slope_correlation(predicted: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Correlation of slopes, both directions together, weighted by ``mask``; 0 where either is flat."""
    one = torch.cat([part.flatten() for part in slopes(predicted)])
    two = torch.cat([part.flatten() for part in slopes(truth)])
    weight = mask.flatten().repeat(2)
    bound = (weight * one.square()).sum() * (weight * two.square()).sum()
    return float((weight * one * two).sum() / bound.sqrt()) if float(bound) > 0 else 0.0
