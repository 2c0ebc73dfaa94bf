"""A stage and a source small enough to train in milliseconds, with traps that tests can set through the recipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.engine import contracts
from trainer.engine.recipe import Recipe


@dataclass(frozen=True)
class Points:
    """x (N, 4), y (N, 1)."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, kw_only=True)
class PointsConfig(contracts.SourceConfig):
    """Points on a plane; at sample ``trap_at`` something happens (once, where ``trap_file`` can be removed)."""

    seed: int = 0
    trap: str = ""
    trap_at: int = -1
    trap_file: str = ""

    def build(self) -> PointSource:
        return PointSource(self)


class PointSource:
    def __init__(self, config: PointsConfig) -> None:
        self.config = config
        self.seen: list[int] = []

    def batch(self, indices: range, device: torch.device) -> Points:
        assert not torch.is_autocast_enabled(device.type), "sources are asked without autocast"
        self.seen.extend(indices)
        rows = [torch.randn(4, generator=torch.Generator().manual_seed(self.config.seed * 10**6 + i)) for i in indices]
        x = torch.stack(rows).to(device)
        y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]], device=device) + 0.25
        if self.config.trap_at in indices:
            y = self._spring(y)
        if self.config.trap == "always_nan":
            y = y * torch.nan
        return Points(x, y)

    def _spring(self, y: Tensor) -> Tensor:
        if self.config.trap_file:
            try:
                Path(self.config.trap_file).unlink()
            except FileNotFoundError:
                return y
        if self.config.trap == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config.trap == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        return y * torch.nan if self.config.trap == "nan" else y


@dataclass(frozen=True)
class LineWeights:
    square: float = 1.0
    size: float = 0.001


@dataclass(frozen=True, kw_only=True)
class LineConfig(contracts.StageConfig):
    """Fits the plane with a net that has all that makes exact resume hard: dropout, batch norm, a frozen group."""

    weights: LineWeights = field(default_factory=LineWeights)
    dropout: float = 0.1
    batch_norm: bool = True
    frozen_until: float = 0.0

    def build(self, device: torch.device) -> LineStage:
        return LineStage(self, device)


class LineStage(contracts.Stage):
    def __init__(self, config: LineConfig, device: torch.device) -> None:
        self.config = config
        norm = nn.BatchNorm1d(8) if config.batch_norm else nn.Identity()
        body = nn.Sequential(nn.Linear(4, 8), norm, nn.Dropout(config.dropout))
        self.modules = nn.ModuleDict({"body": body, "head": nn.Linear(8, 1)}).to(device)
        self.modules.register_parameter("scale", nn.Parameter(torch.tensor(1.0, device=device)))

    def step(self, batch: Points, fraction: float) -> Mapping[str, Tensor]:
        found = self.modules["head"](self.modules["body"](batch.x)) * self.modules.scale
        return {"square": (found - batch.y).square().mean(), "size": found.square().mean()}

    def metrics(self, batches: Iterable[Points]) -> Mapping[str, float]:
        errors = [
            (self.modules["head"](self.modules["body"](b.x)) * self.modules.scale - b.y).square().mean()
            for b in batches
        ]
        return {"error": torch.stack(errors).mean().item()}

    def parameter_groups(self) -> tuple[contracts.ParameterGroup, ...]:
        until = self.config.frozen_until
        head = tuple(self.modules["head"].parameters())
        rest = (*self.modules["body"].parameters(), self.modules.scale)
        return (
            contracts.ParameterGroup("body", rest, lambda fraction: 1.0),
            contracts.ParameterGroup("head", head, lambda fraction: 0.0 if fraction < until else 1.0),
        )

    def export(self) -> contracts.ExportedModel:
        return contracts.ExportedModel(
            "line", {"inputs": 4}, self.modules.state_dict(), "A plane.", "Nothing but planes."
        )


@dataclass(frozen=True)
class DuelWeights:
    fooled: float = 1.0


@dataclass(frozen=True)
class CriticWeights:
    discrimination: float = 1.0
    steepness: float = 0.1


@dataclass(frozen=True, kw_only=True)
class DuelConfig(contracts.StageConfig):
    """A generator of points and a critic with an optimizer of its own, whose gradient with respect to real points is
    penalised: gradients of gradients."""

    weights: DuelWeights = field(default_factory=DuelWeights)
    critic_weights: CriticWeights = field(default_factory=CriticWeights)
    critic_optimizer: contracts.OptimizerConfig = field(
        default_factory=lambda: contracts.OptimizerConfig(kind="adam", learning_rate=0.03)
    )
    shared: bool = False

    def build(self, device: torch.device) -> DuelStage:
        return DuelStage(self, device)


class DuelStage(contracts.Stage):
    def __init__(self, config: DuelConfig, device: torch.device) -> None:
        self.config = config
        critic = nn.Sequential(nn.Linear(5, 8), nn.Softplus(), nn.Dropout(0.1), nn.Linear(8, 1))
        generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Softplus(), nn.Linear(8, 1))
        self.modules = nn.ModuleDict({"generator": generator, "critic": critic}).to(device)

    def _made(self, batch: Points) -> Tensor:
        noise = 0.01 * torch.randn_like(batch.x)
        return torch.cat([batch.x, self.modules["generator"](batch.x + noise)], 1)

    def step(self, batch: Points, fraction: float) -> Mapping[str, Tensor]:
        return {"fooled": nn.functional.softplus(-self.modules["critic"](self._made(batch))).mean()}

    def criticise(self, batch: Points, fraction: float) -> Mapping[str, Tensor]:
        critic = self.modules["critic"]
        real = torch.cat([batch.x, batch.y], 1).requires_grad_()
        said = critic(real)
        (slope,) = torch.autograd.grad(said.sum(), real, create_graph=True)
        made = critic(self._made(batch).detach())
        apart = nn.functional.softplus(-said).mean() + nn.functional.softplus(made).mean()
        return {"discrimination": apart, "steepness": slope.square().sum(1).mean()}

    def parameter_groups(self) -> tuple[contracts.ParameterGroup, ...]:
        generator = tuple(self.modules["generator"].parameters())
        return (contracts.ParameterGroup("generator", generator, lambda fraction: 1.0),)

    def turns(self) -> tuple[contracts.Turn, ...]:
        config = self.config
        owned = self.modules if config.shared else self.modules["critic"]
        critic = (contracts.ParameterGroup("critic", tuple(owned.parameters()), lambda fraction: 1.0),)
        turn = contracts.Turn("critic", config.critic_optimizer, critic, self.criticise, config.critic_weights)
        return (*super().turns(), turn)


def line_stage(**changes: object) -> LineConfig:
    """A stage of twelve steps."""
    values = {
        "steps": 12,
        "batch": 4,
        "source": PointsConfig(),
        "optimizer": contracts.OptimizerConfig(learning_rate=0.02, weight_decay=0.01, schedule="cosine", clip_norm=5.0),
    }
    return LineConfig(**(values | changes))


def line_recipe(*stages: LineConfig, **changes: object) -> Recipe:
    """A recipe that never saves by time, so that what a test sees does not depend on the machine's speed."""
    values = {"name": "line", "seed": 3, "checkpoint_minutes": 1e6, "log_steps": 1, "validate_steps": 5}
    return Recipe(**(values | changes), stages=stages or (line_stage(),))
