"""What a training stage and a source of training data have to offer: the whole interface to ``trainer.loop``.

A stage is written as a frozen dataclass (its configuration, which is also its factory) and a class that does the
work; both are found by the name in the recipe, through ``trainer.registry``. Stages and sources import torch, numpy,
the standard library, ``backend`` and ``trainer`` only where they are to run from a packed archive (``trainer.pack``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn


class Source(Protocol):
    """Training data that is made or read by index."""

    def batch(self, indices: range, device: torch.device) -> Any:
        """Samples ``indices`` as one frozen dataclass of tensors on ``device``.

        The same index gives the same sample whenever and in whatever company it is asked for: randomness comes from
        generators seeded by (the source's seed, index), never from the global ones. Any index from 0 on is valid: a
        finite collection repeats itself, each time in another order. Called without gradients and without autocast.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SourceConfig(ABC):
    """Configuration and factory of a ``Source``; ``kind`` in the recipe chooses the subclass."""

    family: ClassVar[str] = "source"

    @abstractmethod
    def build(self) -> Source:
        """Make the source; called once per stage and process."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How the weights move."""

    kind: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    """Update rule; ``sgd`` has Nesterov momentum ``betas[0]``, ``rmsprop`` no momentum and the decay ``betas[1]``."""
    learning_rate: float = 1e-3
    """Largest rate, reached after the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the two running moments."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.0
    """Decoupled decay of ``adamw``, L2 penalty of the others; not applied to biases and norms (1-D)."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Course of the rate from the end of the warm-up to the end of the stage."""
    warmup: float = 0.0
    """Fraction of the stage in which the rate rises linearly from zero."""
    final: float = 0.01
    """Rate at the end of ``cosine`` and ``linear``, as a fraction of ``learning_rate``."""
    clip_norm: float = 0.0
    """Gradients are scaled down to this norm over all weights; 0 leaves them."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.warmup < 1 or not 0 <= self.final <= 1:
            raise ValueError(f"warmup must be in [0, 1) and final in [0, 1], not {self.warmup} and {self.final}")


@dataclass(frozen=True, kw_only=True)
class StageConfig(ABC):
    """What the loop wants to know of every stage, and the stage's factory; ``kind`` in the recipe chooses the subclass.

    A subclass has a field ``weights``, a frozen dataclass whose fields are named as the terms that ``Stage.step``
    returns: the loss is the sum of weight times term.
    """

    family: ClassVar[str] = "stage"

    name: str = ""
    """Name in logs and checkpoints, unique in the recipe; empty: the stage's kind."""
    steps: int
    """The stage ends after this many steps, on a quiet machine and on a busy one."""
    batch: int
    """Samples that one process puts through the networks at once."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step."""
    source: SourceConfig
    """Where the training data comes from."""
    validation: SourceConfig | None = None
    """Held-out data for metrics and pictures; must share no person with ``source``."""
    validation_samples: int = 64
    """The first so many samples of ``validation`` are used."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How the weights move."""
    ema: float = 0.0
    """Decay per step of the moving average of the weights; above 0 the average is what is measured and exported."""
    select: str = ""
    """Metric by which the exported weights are chosen: ``+iou.mean`` highest, ``-side`` lowest; empty: the last."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.accumulate < 1 or self.validation_samples < 1:
            raise ValueError("steps, batch, accumulate and validation_samples must be at least 1")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), not {self.ema}")
        if self.select and self.select[0] not in "+-":
            raise ValueError(f"select must begin with + or -, not {self.select!r}")
        if self.select and self.validation is None:
            raise ValueError("select needs validation data")

    @abstractmethod
    def build(self, device: torch.device) -> Stage:
        """Make the stage with fresh weights on ``device``; the global generators are seeded before."""


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that follow a rate of their own.

    ``rate(fraction)`` multiplies the learning rate, ``fraction`` of the stage being done; where it is 0 the group is
    frozen: neither momentum nor weight decay moves it.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    rate: Callable[[float], float]


@dataclass(frozen=True)
class Turn:
    """A part of a step that has a loss, an optimizer and weights of its own: an adversary's, say.

    Attributes
    ----------
    name : of its terms in the log, ``name.term``; empty for the stage's own.
    optimizer : how its weights move.
    groups : its weights; no other turn may have one of them, and its loss moves no others.
    step : as ``Stage.step``; for its own weights it may differentiate gradients.
    weights : as ``StageConfig.weights``, of the terms that ``step`` returns.
    """

    name: str
    optimizer: OptimizerConfig
    groups: Sequence[ParameterGroup]
    step: Callable[[Any, float], Mapping[str, Tensor]]
    weights: Any


@dataclass(frozen=True)
class ExportedModel:
    """What a stage gives to the backend.

    Attributes
    ----------
    model : name of the model and of its folder under ``assets``.
    config : all that ``backend.models`` needs to build the network; JSON types.
    tensors : state dict of the network that ``backend.models`` builds from ``config``.
    summary : one or two sentences for the model card: what goes in, what comes out, what it is good for.
    limits : what it is made for and what not, for the model card.
    sensitive : patterns (``fnmatch``) of tensors that stay in float16 when the others are exported with 8 bits.
    """

    model: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    summary: str
    limits: str
    sensitive: tuple[str, ...] = ()


class Stage(ABC):
    """What one training step of a method does. Draws its random numbers from the global torch generators.

    Attributes
    ----------
    config : the configuration that built it.
    modules : everything that learns, and buffers that belong to the weights. Saved, averaged, equal in all processes.
        Large constants belong into buffers with ``persistent=False``.
    """

    config: StageConfig
    modules: nn.ModuleDict

    @abstractmethod
    def step(self, batch: Any, fraction: float) -> Mapping[str, Tensor]:
        """Named loss terms (scalars, unweighted, means over the batch); ``fraction`` of the stage is done, 0 to 1."""

    def metrics(self, batches: Iterable[Any]) -> Mapping[str, float]:
        """Figures on held-out batches; called in eval mode, without gradients."""
        return {}

    def pictures(self, batch: Any) -> Mapping[str, Tensor]:
        """Name -> (3, H, W) float picture in [0, 1], sRGB; called in eval mode, without gradients."""
        return {}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Which weights learn how fast; by default all alike."""
        return (ParameterGroup("all", tuple(self.modules.parameters()), lambda fraction: 1.0),)

    def turns(self) -> Sequence[Turn]:
        """What a step consists of, one after the other on the same samples, each with the weights that those before it
        have moved. By default one: ``step`` with the recipe's optimizer. A stage with an adversary adds its turn."""
        config = self.config
        return (Turn("", config.optimizer, self.parameter_groups(), self.step, config.weights),)

    def export(self) -> ExportedModel | None:
        """The model for the backend, with the weights that ``modules`` has now; None when there is none."""
        return None
