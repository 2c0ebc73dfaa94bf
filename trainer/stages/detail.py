"""Stage ``detail``: the network that makes wrinkles out of photos and expressions, from skin with known relief."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from backend.models.detail import DETAIL
from backend.models.detail.network import DetailConfig, DetailNet, repeated
from trainer.contracts import ExportedModel, Stage, StageConfig
from trainer.data.detail import DetailBatch
from trainer.data.detail.source import TARGETS
from trainer.losses import detail as losses


@dataclass(frozen=True, kw_only=True)
class DetailWeights:
    """Weights of the loss terms."""

    height: float = 1.0
    """Difference from the true displacement, millimetres."""
    slope: float = 4.0
    """Difference from its slopes, millimetres a texel."""
    shading: float = 0.0
    """The paper's pixel-wise loss: shading by the relief against the photo. It needs no truth, and engraves colours."""
    size: float = 0.0
    """The paper's detail regularisation; decays to nothing over ``DetailStageConfig.size_ends``."""


@dataclass(frozen=True, kw_only=True)
class DetailStageConfig(StageConfig):
    """Trains ``backend.models.detail.network.DetailNet``."""

    network: DetailConfig = field(default_factory=DetailConfig)
    """Size of the network."""
    weights: DetailWeights = field(default_factory=DetailWeights)
    """Weights of the loss terms."""
    size_ends: float = 0.5
    """Fraction of the stage after which detail is no longer kept small."""

    def build(self, device: torch.device) -> DetailStage:
        """See ``StageConfig``."""
        return DetailStage(self, device)


class DetailStage(Stage):
    """See ``DetailStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Displacement of the skin in UV map `Head`, millimetres, for any expression of a person. Input: the person's "
        "photos unwrapped into UV with the light that the fit found, and what the expression does to the smooth mesh."
    )
    LIMITS: ClassVar[str] = (
        "It has only seen synthetic skin whose relief was made by rules: lines across the direction in which "
        "expressions press the skin, folds, bags, moles. Where no photo looks it gives what is usual. It knows no "
        "scars, and stubble or hair in front of the skin may leave traces."
    )

    def __init__(self, config: DetailStageConfig, device: torch.device) -> None:
        self.config = config
        self.modules = nn.ModuleDict({"net": DetailNet(config.network)}).to(device)

    def step(self, batch: DetailBatch, fraction: float) -> Mapping[str, Tensor]:
        """Terms ``height``, ``slope``, ``shading``, ``size``; means over what may be displaced."""
        net, weights = self.modules["net"], self.config.weights
        people = len(batch.displacement) // TARGETS
        attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
        targets = torch.arange(people, device=batch.person.device).repeat_interleave(TARGETS)
        found = net.displacement(repeated(attribute, targets), batch.wanted) * batch.allowed
        zero = found.new_zeros(())
        terms = {
            "height": losses.height_error(found, batch.displacement, batch.allowed),
            "slope": losses.slope_error(found, batch.displacement, batch.allowed),
            "shading": zero,
            "size": zero,
        }
        if weights.shading:
            own = net.displacement(repeated(attribute, batch.person), batch.expressions) * batch.allowed
            terms["shading"] = losses.shading_error(own, batch.photos)
        if weights.size and fraction < self.config.size_ends:
            terms["size"] = (1.0 - fraction / self.config.size_ends) * losses.detail_size(found, batch.allowed)
        return terms

    def metrics(self, batches: Iterable[DetailBatch]) -> Mapping[str, float]:
        """For ``rest``, ``seen`` (the first photo's expression) and ``unseen`` (no photo's): ``correlation`` of found
        and true slopes, ``error`` of heights over that of no displacement; ``neutral.unseen``: the latter with the
        displacement found at rest."""
        sums: dict[str, list[float]] = {}
        net = self.modules["net"]
        for batch in batches:
            people = len(batch.displacement) // TARGETS
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
        """``relief``: found over true, lit from above, at rest, with the photo's expression and with another."""
        net = self.modules["net"]
        people = len(batch.displacement) // TARGETS
        attribute = net.attribute(batch.photos, batch.expressions, batch.person, people)
        found = net.displacement(repeated(attribute, [0] * TARGETS), batch.wanted[:TARGETS]) * batch.allowed
        rows = [_lit(found), _lit(batch.displacement[:TARGETS])]
        return {"relief": torch.cat([torch.cat(list(row), -1) for row in rows], -2).expand(3, -1, -1)}

    def export(self) -> ExportedModel:
        """The network, for ``backend.detail``."""
        state = dict(self.modules["net"].state_dict())
        return ExportedModel(DETAIL.name, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)


def slope_correlation(found: Tensor, truth: Tensor, mask: Tensor) -> float:
    """Correlation of slopes, both directions together, weighted by ``mask``; 0 where one of both is flat."""
    one = torch.cat([part.flatten() for part in losses.slopes(found)])
    two = torch.cat([part.flatten() for part in losses.slopes(truth)])
    weight = mask.flatten().repeat(2)
    bound = (weight * one.square()).sum() * (weight * two.square()).sum()
    return float((weight * one * two).sum() / bound.sqrt()) if float(bound) > 0 else 0.0


def _lit(heights: Tensor) -> Tensor:
    """(B, 1, N, N) in [0, 1]: relief under light from above."""
    across, down = losses.slopes(heights)
    return (0.5 - 2.0 * (0.5 * across + down)).clamp(0, 1)
