"""Stage ``graph_albedo``: the U-Net that corrects unseen parts of textures, trained on synthetic people's true
skins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from backend.models.graph_albedo import GRAPH_ALBEDO
from backend.models.graph_albedo.network import GraphAlbedoConfig, GraphAlbedoNet
from trainer.contracts import ExportedModel, ParameterGroup, Stage, StageConfig
from trainer.data.graph.skins import SkinBatch
from trainer.losses import graph_face as losses

UNSEEN = 0.05
"""Coverage below which a texel counts as unseen."""


@dataclass(frozen=True)
class GraphAlbedoWeights:
    """Weights of the loss terms."""

    unseen: float = 1.0
    """Ours: difference of log albedo at unseen texels. The paper has no ground truth and compares only the picture."""
    gradient: float = 0.5
    """Gradient difference of equation 5, in UV."""


@dataclass(frozen=True, kw_only=True)
class GraphAlbedoStageConfig(StageConfig):
    """Trains ``backend.models.graph_albedo.network.GraphAlbedoNet``."""

    network: GraphAlbedoConfig = field(default_factory=GraphAlbedoConfig)
    """Size of the network."""
    weights: GraphAlbedoWeights = field(default_factory=GraphAlbedoWeights)
    """Weights of the loss terms."""
    mirror: bool = True
    """Mirror half of the skins, as in the paper."""
    tone: float = 0.3
    """Log units, standard deviation of a random change common to all channels; each channel's own has a third of it."""
    usual_rate: float = 10.0
    """Learning rate of the mean skin relative to the other weights, because each of its texels is trained
    separately."""

    def build(self, device: torch.device) -> GraphAlbedoStage:
        """See ``StageConfig``."""
        return GraphAlbedoStage(self, device)


class GraphAlbedoStage(Stage):
    """See ``GraphAlbedoStageConfig``."""

    SUMMARY: ClassVar[str] = (
        "Correction of the log albedo in UV map `Head` where no photo shows the skin of face, ears and neck. Input: "
        "the product's own texture, and its coverage by photos."
    )
    LIMITS: ClassVar[str] = (
        "Trained on synthetic, rule-based skin only, of heads with known shape, cameras and light. It adds what is "
        "typical for a place; it cannot predict scars, tattoos or single moles of a side that no photo shows."
    )

    def __init__(self, config: GraphAlbedoStageConfig, device: torch.device) -> None:
        self.config = config
        self.modules = nn.ModuleDict({"albedo": GraphAlbedoNet(config.network)}).to(device)

    def step(self, batch: SkinBatch, fraction: float) -> Mapping[str, Tensor]:
        """Compute the terms of ``GraphAlbedoWeights``."""
        made, cover, truth = batch.made, batch.cover, batch.truth
        if self.config.mirror and torch.rand(()) < 0.5:
            made, cover, truth = (one.flip(-1) for one in (made, cover, truth))
        people, tone = len(made), self.config.tone
        change = tone * (torch.randn(people, 1, 1, 1) + torch.randn(people, 3, 1, 1) / 3).to(made)
        found = self.modules["albedo"](made + change, cover, batch.skin[None])
        return {
            "unseen": losses.texture_difference(found, truth + change, (1.0 - cover) * batch.skin),
            "gradient": losses.texture_gradient_difference(found, truth + change, batch.skin > 0.5),
        }

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The mean skin, and all other weights."""
        usual, rate = self.modules["albedo"].usual, self.config.usual_rate
        others = tuple(p for p in self.modules.parameters() if p is not usual)
        return (
            ParameterGroup("all", others, lambda fraction: 1.0),
            ParameterGroup("usual", (usual,), lambda fraction: rate),
        )

    def metrics(self, batches: Iterable[SkinBatch]) -> Mapping[str, float]:
        """Mean difference of log albedo at unseen texels, over people: ``network``; ``rules``, of the input texture;
        ``ratio`` of the first to the second."""
        apart = torch.cat([unseen_differences(self.modules["albedo"], batch) for batch in batches]).mean(0)
        return {"network": float(apart[0]), "rules": float(apart[1]), "ratio": float(apart[0] / apart[1])}

    def pictures(self, batch: SkinBatch) -> Mapping[str, Tensor]:
        """``skins``: the input texture, its coverage by photos, the network's texture, and the true one, in sRGB by a
        power of 1/2.2."""
        made, cover, truth = batch.made[:4], batch.cover[:4], batch.truth[:4]
        found = self.modules["albedo"](made, cover, batch.skin[None])
        colours = [one.exp().clamp(0, 1) ** (1 / 2.2) * (batch.skin > 0) for one in (made, found, truth)]
        shown = [colours[0], cover[:, None].expand_as(made), *colours[1:]]
        return {"skins": torch.cat([torch.cat(list(column), -2) for column in shown], -1)}

    def export(self) -> ExportedModel:
        """The network."""
        state = dict(self.modules["albedo"].state_dict())
        return ExportedModel(GRAPH_ALBEDO.name, self.config.network.to_json(), state, self.SUMMARY, self.LIMITS)


def unseen_differences(network: GraphAlbedoNet, batch: SkinBatch) -> Tensor:
    """(B, 2) mean absolute difference of log albedo from the true one at unseen texels: of the network's texture, and
    of the input."""
    unseen = ((batch.cover < UNSEEN) & (batch.skin > 0.5)).float()  # (B, S, S)
    found = network(batch.made, batch.cover, batch.skin[None])
    total = unseen.sum((1, 2)).clamp(min=1.0)
    apart = [((one - batch.truth).abs().mean(1) * unseen).sum((1, 2)) / total for one in (found, batch.made)]
    return torch.stack(apart, 1)
