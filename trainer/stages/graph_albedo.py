"""Stage ``graph_albedo``: the U-Net that completes skins in UV, on synthetic skins that photos show in part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from backend.models.graph_face.skin_network import MODEL_NAME, GraphAlbedoConfig, GraphAlbedoNet, merged
from trainer.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.data.graph.skins import SkinBatch
from trainer.losses import graph_face as losses

UNSEEN = 0.05
"""Cover below which a texel counts as not seen by any photo."""


@dataclass(frozen=True)
class GraphAlbedoWeights:
    """Weights of the loss terms."""

    unseen: float = 1.0
    """Ours: difference of log albedo where no photo looks; the paper has no truth and compares the picture alone."""
    seen: float = 0.3
    """Ours: the same where photos look, by their cover."""
    gradient: float = 0.5
    """Gradient difference of equation 5, in UV."""


@dataclass(frozen=True, kw_only=True)
class GraphAlbedoStageConfig(StageConfig):
    """Trains ``backend.models.graph_face.skin_network.GraphAlbedoNet``."""

    network: GraphAlbedoConfig = field(default_factory=GraphAlbedoConfig)
    """Size of the network."""
    weights: GraphAlbedoWeights = field(default_factory=GraphAlbedoWeights)
    """Weights of the loss terms."""
    mirror: bool = True
    """Half of the skins are mirrored, as in the paper."""
    fewer: float = 0.6
    """Share of the people of whom only one of their photos is shown."""
    usual_rate: float = 10.0
    """Learning rate of the mean skin, of the others': each of its texels learns alone."""

    def build(self, device: torch.device) -> GraphAlbedoStage:
        """See ``StageConfig``."""
        return GraphAlbedoStage(self, device)


class GraphAlbedoStage(Stage):
    """See ``GraphAlbedoStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "The whole albedo of a head's skin in UV map `Head`, of what photos show of it, freed of their light, and of "
        "where they show it."
    )
    LIMITS: ClassVar[str] = (
        "It has only seen synthetic skins, painted by rules: what it adds where no photo looks is what is usual there "
        "and the mirrored side. It knows no scars, tattoos or single moles of a side that it does not see."
    )

    def __init__(self, config: GraphAlbedoStageConfig, device: torch.device) -> None:
        self.config = config
        self.modules = nn.ModuleDict({"albedo": GraphAlbedoNet(config.network)}).to(device)

    def step(self, batch: SkinBatch, fraction: float) -> Mapping[str, Tensor]:
        """The terms of ``GraphAlbedoWeights``."""
        log_albedo, cover = self._shown(batch)
        truth = batch.truth
        if self.config.mirror and torch.rand(()) < 0.5:
            log_albedo, cover, truth = (one.flip(-1) for one in (log_albedo, cover, truth))
        found = self.modules["albedo"](log_albedo, cover)
        return {
            "unseen": losses.texture_difference(found, truth, (cover < UNSEEN) & batch.covered),
            "seen": losses.texture_difference(found, truth, cover),
            "gradient": losses.texture_gradient_difference(found, truth, batch.covered),
        }

    def _shown(self, batch: SkinBatch) -> tuple[Tensor, Tensor]:
        """Skins as some of the photos show them; of each person at least one."""
        people, photos = batch.weight.shape[:2]
        alone = torch.rand(people, 1) < self.config.fewer
        one = torch.randint(photos, (people, 1)) == torch.arange(photos)
        kept = (one | ~alone).to(batch.weight)
        return merged(batch.log_albedo, batch.weight * kept[:, :, None, None])

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The mean skin, and all others."""
        usual, rate = self.modules["albedo"].usual, self.config.usual_rate
        others = tuple(p for p in self.modules.parameters() if p is not usual)
        return (
            ParameterGroup("all", others, lambda fraction: 1.0),
            ParameterGroup("usual", (usual,), lambda fraction: rate),
        )

    def metrics(self, batches: Iterable[SkinBatch]) -> Mapping[str, float]:
        """Means over people of the mean difference of log albedo where no photo looks, of one photo (``one``) and of
        all (``all``), and ``.ratio`` of it to that of the mean tone that is seen."""
        sums: dict[str, list[float]] = {}
        for batch in batches:
            for name, photos in (("one", 1), ("all", batch.weight.shape[1])):
                log_albedo, cover = merged(batch.log_albedo[:, :photos], batch.weight[:, :photos])
                found = self.modules["albedo"](log_albedo, cover)
                tone = (log_albedo * cover[:, None]).sum((2, 3)) / cover.sum((1, 2)).clamp(min=1e-6)[:, None]
                unseen = ((cover < UNSEEN) & batch.covered).float()
                for number, weight in enumerate(unseen):
                    truth = batch.truth[number : number + 1]
                    flat = tone[number][None, :, None, None].expand_as(truth)
                    error, usual = (
                        float(losses.texture_difference(each, truth, weight[None]))
                        for each in (found[number : number + 1], flat)
                    )
                    sums.setdefault(name, []).append(error)
                    sums.setdefault(f"{name}.ratio", []).append(error / usual)
        return {name: sum(values) / len(values) for name, values in sums.items()}

    def pictures(self, batch: SkinBatch) -> Mapping[str, Tensor]:
        """``skins``: what photos show, what the network makes of it, and the truth, sRGB by a power of 1/2.2."""
        batch = SkinBatch(batch.log_albedo[:4], batch.weight[:4], batch.truth[:4], batch.covered)
        log_albedo, cover = merged(batch.log_albedo[:, :1], batch.weight[:, :1])
        found = self.modules["albedo"](log_albedo, cover)
        colours = [one.exp().clamp(0, 1) ** (1 / 2.2) * batch.covered for one in (log_albedo, found, batch.truth)]
        colours[0] = colours[0] * cover[:, None]
        return {"skins": torch.cat([torch.cat(list(column), -2) for column in colours], -1)}

    def export(self) -> ExportedModel:
        """The network."""
        state = dict(self.modules["albedo"].state_dict())
        return ExportedModel(MODEL_NAME, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)
