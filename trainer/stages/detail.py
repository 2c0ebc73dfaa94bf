"""Stage ``detail``: the network that predicts wrinkles from photos and expressions, trained on skin with known relief
and on photos alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from backend.models.detail import DETAIL
from backend.models.detail.network import DetailConfig, DetailNet, repeated
from trainer.contracts import ExportedModel, ParameterGroup, Stage, StageConfig, Turn
from trainer.data.detail import DetailBatch, DetailPictures
from trainer.data.detail.batch import TARGETS
from trainer.data.detail.picture import pooled_texels
from trainer.losses import detail as losses
from trainer.losses.identity_features import IdentityFeatures
from trainer.stages.detail_critic import CriticConfig, PatchCritic, shown_photos


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
    """The paper's perceptual loss: one minus the cosine of identity features of refined render and photo."""
    adversary: float = 0.0
    """The paper's adversarial loss, the generator's part."""
    size: float = 0.0
    """The paper's detail regularisation; decays to zero over ``DetailStageConfig.size_ends``."""


@dataclass(frozen=True)
class DetailCriticWeights:
    """Weights of the discriminator's loss terms."""

    told_apart: float = 1.0
    """The paper's adversarial loss, the discriminator's part."""


@dataclass(frozen=True, kw_only=True)
class DetailStageConfig(StageConfig):
    """Trains ``backend.models.detail.network.DetailNet``."""

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

    def build(self, device: torch.device) -> DetailStage:
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

    def step(self, batch: DetailBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute the terms of ``DetailWeights``: means over displaceable skin, or over its visible part in photos.
        Terms without ground truth or without weight are zero."""
        net, config, weights = self.modules["net"], self.config, self.config.weights
        people = len(batch.told)
        attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
        terms = dict.fromkeys(DetailWeights.__dataclass_fields__, attribute.always.new_zeros((), dtype=torch.float32))
        regular = weights.size and fraction < config.size_ends
        if batch.told.any() or regular:
            targets = torch.arange(people, device=batch.person.device).repeat_interleave(TARGETS)
            found = net.displacement(repeated(attribute, targets), batch.wanted) * batch.allowed
        if batch.told.any():
            mask = batch.allowed * batch.told.repeat_interleave(TARGETS).view(-1, 1, 1, 1)
            terms["height"] = losses.height_error(found, batch.displacement, mask)
            terms["slope"] = losses.slope_error(found, batch.displacement, mask)
        if regular:
            terms["size"] = (1.0 - fraction / config.size_ends) * losses.detail_size(found, batch.allowed)
        if weights.pixels or weights.identity or weights.adversary:
            own = net.displacement(repeated(attribute, batch.person), batch.expressions) * batch.allowed
            terms.update(self._photo_terms(batch, own))
        return terms

    def _photo_terms(self, batch: DetailBatch, own: Tensor) -> dict[str, Tensor]:
        """Compute the terms of the photos for the displacement (P, 1, N, N) with each photo's expression."""
        weights, terms = self.config.weights, {}
        pictures = _pictures(batch)
        refined = _refined(pictures, own, batch.photos)
        if weights.pixels:
            terms["pixels"] = losses.pixel_error(refined, pictures.photos, pictures.mask)
        if weights.identity:
            with torch.no_grad():
                wanted = self._features(shown_photos(pictures))
            terms["identity"] = losses.identity_distance(self._features(refined), wanted)
        if weights.adversary:
            terms["adversary"] = losses.generator_loss(self.modules["critic"](pictures.coarse, refined))
        return terms

    def turns(self) -> Sequence[Turn]:
        """The network's turn, then the discriminator's if there is one."""
        critic = self.config.critic
        if critic is None:
            return super().turns()
        groups = (ParameterGroup("critic", tuple(self.modules["critic"].parameters()), lambda fraction: 1.0),)
        return (*super().turns(), Turn("critic", critic.optimizer, groups, self._critic_step, DetailCriticWeights()))

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The network's weights."""
        return (ParameterGroup("all", tuple(self.modules["net"].parameters()), lambda fraction: 1.0),)

    def _critic_step(self, batch: DetailBatch, fraction: float) -> Mapping[str, Tensor]:
        net, critic, pictures = self.modules["net"], self.modules["critic"], _pictures(batch)
        with torch.no_grad():
            attribute = net.attribute(batch.photos, batch.expressions, batch.person, len(batch.told))
            own = net.displacement(repeated(attribute, batch.person), batch.expressions) * batch.allowed
            refined = _refined(pictures, own, batch.photos)
        real = critic(pictures.coarse, shown_photos(pictures))
        return {"told_apart": losses.discriminator_loss(real, critic(pictures.coarse, refined))}

    def metrics(self, batches: Iterable[DetailBatch]) -> Mapping[str, float]:
        """For ``rest``, ``seen`` (the first photo's expression) and ``unseen`` (in no photo): ``correlation`` of
        predicted and true slopes, and ``error`` of heights relative to zero displacement. ``neutral.unseen``: the
        relative error of the displacement predicted at rest, for the unseen expression."""
        sums: dict[str, list[float]] = {}
        net = self.modules["net"]
        for batch in batches:
            people = len(batch.told)
            attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
            targets = torch.arange(people, device=batch.person.device).repeat_interleave(TARGETS)
            found = net.displacement(repeated(attribute, targets), batch.wanted) * batch.allowed
            for number, kind in enumerate(("rest", "seen", "unseen")):
                own, truth = found[number::TARGETS], batch.displacement[number::TARGETS]
                for person in range(people):
                    one, true = own[person : person + 1], truth[person : person + 1]
                    sums.setdefault(f"correlation.{kind}", []).append(slope_correlation(one, true, batch.allowed))
                    none = losses.height_error(torch.zeros_like(true), true, batch.allowed)
                    error = losses.height_error(one, true, batch.allowed)
                    sums.setdefault(f"error.{kind}", []).append(float(error / none.clamp(min=1e-6)))
                    if kind == "unseen":
                        still = found[person * TARGETS : person * TARGETS + 1]
                        error = losses.height_error(still, true, batch.allowed)
                        sums.setdefault("neutral.unseen", []).append(float(error / none.clamp(min=1e-6)))
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def pictures(self, batch: DetailBatch) -> Mapping[str, Tensor]:
        """``relief``: predicted above true, lit from above, at rest, with the photo's expression and with another."""
        net = self.modules["net"]
        people = len(batch.told)
        attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
        found = net.displacement(repeated(attribute, [0] * TARGETS), batch.wanted[:TARGETS]) * batch.allowed
        rows = [_lit(found), _lit(batch.displacement[:TARGETS])]
        return {"relief": torch.cat([torch.cat(list(row), -1) for row in rows], -2).expand(3, -1, -1)}

    def export(self) -> ExportedModel:
        """The network, for ``backend.detail``."""
        state = dict(self.modules["net"].state_dict())
        return ExportedModel(DETAIL.name, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)


def _pictures(batch: DetailBatch) -> DetailPictures:
    if batch.pictures is None:
        raise ValueError("losses on pictures need a source with pictures: set its picture to a size in pixels")
    return batch.pictures


def _refined(pictures: DetailPictures, own: Tensor, photos: Tensor) -> Tensor:
    """(P, 3, S, S) the coarse renders refined by displacements (P, 1, N, N)."""
    pool = pooled_texels(own.shape[-1], pictures.coarse.shape[-1])
    change = losses.relief_light(own, photos)
    return losses.refined_pictures(pictures.coarse, change, pictures.places, pictures.mask, pool)


def slope_correlation(found: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Correlation of slopes, both directions together, weighted by ``mask``; 0 where either is flat."""
    one = torch.cat([part.flatten() for part in losses.slopes(found)])
    two = torch.cat([part.flatten() for part in losses.slopes(truth)])
    weight = mask.flatten().repeat(2)
    bound = (weight * one.square()).sum() * (weight * two.square()).sum()
    return float((weight * one * two).sum() / bound.sqrt()) if float(bound) > 0 else 0.0


def _lit(heights: Tensor) -> Tensor:
    """(B, 1, N, N) in [0, 1]: relief shaded by light from above."""
    across, down = losses.slopes(heights)
    return (0.5 - 2.0 * (0.5 * across + down)).clamp(0, 1)
