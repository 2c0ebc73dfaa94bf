"""Interface between ``trainer.engine.loop`` and training stages and data sources.

A stage is a frozen dataclass (its configuration and factory) and a class that does the work. Both are found by the name
in the recipe, through ``trainer.engine.recipe``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn


class Source(Protocol):
    """Training data, made or read by index."""

    def batch(self, indices: range, device: torch.device) -> Any:
        """Return samples ``indices`` as one frozen dataclass of tensors on ``device``.

        An index always gives the same sample, independent of time and batch: random numbers come from generators seeded
        by (the source's seed, index), never from the global ones. Any index from 0 on is valid: a finite collection
        repeats itself, each time in another order. Called without gradients and without autocast.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SourceConfig(ABC):
    """Configuration and factory of a ``Source``; ``kind`` in the recipe selects the subclass."""

    family: ClassVar[str] = "source"

    @abstractmethod
    def build(self) -> Source:
        """Make the source; called once per stage."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer settings."""

    kind: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    """Update rule; ``sgd`` has Nesterov momentum ``betas[0]``, ``rmsprop`` no momentum and the decay ``betas[1]``."""
    learning_rate: float = 1e-3
    """Largest rate, reached after the warm-up."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of the two moment estimates."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.0
    """Decoupled decay of ``adamw``, L2 penalty of the others; not applied to biases and norms (1-D)."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Learning rate schedule from the end of the warm-up to the end of the stage."""
    warmup: float = 0.0
    """Fraction of the stage in which the rate rises linearly from zero."""
    final: float = 0.01
    """Rate at the end of ``cosine`` and ``linear``, as a fraction of ``learning_rate``."""
    clip_norm: float = 0.0
    """Limit of the gradients' norm over all weights; 0: no clipping."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not 0 <= self.warmup < 1 or not 0 <= self.final <= 1:
            raise ValueError(f"warmup must be in [0, 1) and final in [0, 1], not {self.warmup} and {self.final}")


@dataclass(frozen=True, kw_only=True)
class StageConfig(ABC):
    """Settings common to all stages, and the stage's factory; ``kind`` in the recipe selects the subclass.

    A subclass has a field ``weights``, a frozen dataclass with a field for each term that ``Stage.step`` returns: the
    loss is the sum of weight times term.
    """

    family: ClassVar[str] = "stage"

    name: str = ""
    """Name in logs and checkpoints, unique in the recipe; empty: the stage's kind."""
    steps: int
    """Number of steps of the stage, independent of the machine's speed."""
    batch: int
    """Samples in one forward pass."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one step."""
    source: SourceConfig
    """Source of the training data."""
    validation: SourceConfig | None = None
    """Held-out data for metrics; must share no person with ``source``."""
    validation_samples: int = 64
    """Number of samples of ``validation`` that are used, from the first on."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimizer settings."""
    ema: float = 0.0
    """Decay per step of the weights' moving average (EMA). Above 0, the average is evaluated and exported."""
    select: str = ""
    """Metric that selects the exported weights: ``+iou.mean`` highest, ``-side`` lowest; empty: the last weights."""

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
        """Make the stage with fresh weights on ``device``; the caller has seeded the global generators."""


@dataclass(frozen=True)
class ParameterGroup:
    """Weights with a common learning rate factor.

    ``rate(fraction)`` multiplies the learning rate after ``fraction`` of the stage. Where it is 0 the group is frozen,
    and neither momentum nor weight decay changes it.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    rate: Callable[[float], float]


@dataclass(frozen=True)
class Turn:
    """A part of a step with its own loss, optimizer and weights, for example an adversary's.

    Attributes
    ----------
    name : prefix of its terms in the log, ``name.term``; empty for the stage's own.
    optimizer : settings for its weights.
    groups : its weights; no other turn may contain them, and its loss changes no other weights.
    step : like ``Stage.step``; for its own weights it may differentiate gradients.
    weights : like ``StageConfig.weights``, for the terms that ``step`` returns.
    """

    name: str
    optimizer: OptimizerConfig
    groups: Sequence[ParameterGroup]
    step: Callable[[Any, float], Mapping[str, Tensor]]
    weights: Any


@dataclass(frozen=True)
class ExportedModel:
    """A stage's model for the backend.

    Attributes
    ----------
    model : name of the model and of its folder under ``assets``.
    config : everything ``backend.models`` needs to build the network; JSON types.
    tensors : state dict of the network that ``backend.models`` builds from ``config``.
    summary : one or two sentences for the model card: input, output and purpose.
    limits : intended use and limitations, for the model card.
    sensitive : patterns (``fnmatch``) of tensors that stay in float16 in an 8-bit export.
    """

    model: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    summary: str
    limits: str
    sensitive: tuple[str, ...] = ()


class Stage(ABC):
    """Training step of a method. Random numbers come from the global torch generators.

    Attributes
    ----------
    config : the configuration that built it.
    modules : everything that is trained, and buffers that belong to the weights. Saved, averaged.
        Large constants should be buffers with ``persistent=False``.
    """

    config: StageConfig
    modules: nn.ModuleDict

    @abstractmethod
    def step(self, batch: Any, fraction: float) -> Mapping[str, Tensor]:
        """Return named loss terms (unweighted scalars, means over the batch) after ``fraction`` (0 to 1) of the
        stage."""

    def metrics(self, batches: Iterable[Any]) -> Mapping[str, float]:
        """Return metrics on held-out batches; called in eval mode, without gradients."""
        return {}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Return the weights with their learning rate factors; by default a single group."""
        return (ParameterGroup("all", tuple(self.modules.parameters()), lambda fraction: 1.0),)

    def turns(self) -> Sequence[Turn]:
        """Return the turns of a step, which run in order on the same samples, each with the weights updated by the
        previous ones. By default one: ``step`` with the recipe's optimizer. A stage with an adversary adds its turn."""
        config = self.config
        return (Turn("", config.optimizer, self.parameter_groups(), self.step, config.weights),)

    def export(self) -> ExportedModel | None:
        """Return the model for the backend, with the current weights of ``modules``; None when there is none."""
        return None
