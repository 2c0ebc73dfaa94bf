"""A stage in training: its optimizers (groups, schedule, state as named tensors), averaged weights, one exactly
reproducible step; and what a recipe costs on this machine (``--dry-run``).
"""

import hashlib
import math
import random
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainer.engine.checkpoint import Checkpoint, RunState, copy_matching
from trainer.engine.contracts import OptimizerConfig, ParameterGroup, Source, SourceConfig, StageConfig, Turn
from trainer.engine.logs import clock_text, say
from trainer.engine.recipe import Recipe, RecipeError, encode, stage_name


def schedule(config: OptimizerConfig, fraction: float) -> float:
    """Factor on the learning rate after ``fraction`` (0 to 1) of the stage."""
    if fraction < config.warmup:
        return fraction / config.warmup
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, (fraction - config.warmup) / (1.0 - config.warmup))
    falling = 0.5 * (1.0 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1.0 - done
    return config.final + (1.0 - config.final) * falling


class GroupedOptimizer:
    """A torch optimiser over named groups; each group's rate is the schedule times the group's own factor."""

    def __init__(self, config: OptimizerConfig, groups: Sequence[ParameterGroup], names: Mapping[nn.Parameter, str]):
        """``names`` gives each parameter's name for saving its moments.

        Raises ``ValueError`` when a parameter is in two groups or has no name.
        """
        self.config = config
        self.groups = groups
        self.names = {id(parameter): name for parameter, name in names.items()}
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        if len({id(parameter) for parameter in self.parameters}) != len(self.parameters):
            raise ValueError("a parameter is in more than one group")
        if any(id(parameter) not in self.names for parameter in self.parameters):
            raise ValueError("a group has a parameter that is not in the stage's modules")
        self._names_moved = {self.names[id(parameter)] for parameter in self.parameters}
        self._rates: list[ParameterGroup] = []
        tables = []
        for group in groups:
            for decay, members in _split_by_decay(group.parameters, config.weight_decay):
                tables.append({"params": members, "weight_decay": decay})
                self._rates.append(group)
        self._optimizer = _make(config, tables)

    def zero_grad(self) -> None:
        """Reset all gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self, fraction: float) -> float:
        """Update the weights by their gradients; returns the base learning rate that was used."""
        base = self.config.learning_rate * schedule(self.config, fraction)
        for table, group in zip(self._optimizer.param_groups, self._rates, strict=True):
            table["lr"] = base * group.rate(fraction)
            if table["lr"] == 0.0:
                for parameter in table["params"]:
                    parameter.grad = None
        self._optimizer.step()
        return base

    def clip(self) -> Tensor:
        """Clip gradients to ``clip_norm`` (when above 0); returns their norm before, which is not finite if a gradient
        is not."""
        limit = self.config.clip_norm or math.inf
        return nn.utils.clip_grad_norm_(self.parameters, limit)

    def moves(self, name: str) -> bool:
        """Whether this optimiser updates the parameter of that name."""
        return name in self._names_moved

    def state(self) -> dict[str, Tensor]:
        """Return all moments and counters as ``<parameter>/<entry>``."""
        tensors = {}
        for parameter, entries in self._optimizer.state.items():
            for key, value in entries.items():
                if value is not None:
                    tensors[f"{self.names[id(parameter)]}/{key}"] = torch.as_tensor(value)
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned, in the weights' own memory format and device.

        Raises ``ValueError`` for entries of parameters that are not optimised here, or of another shape.
        """
        parameters = {self.names[id(parameter)]: parameter for parameter in self.parameters}
        for full_name, saved in tensors.items():
            name, _, key = full_name.rpartition("/")
            if name not in parameters:
                raise ValueError(f"the checkpoint has moments of {name!r}, which is not trained here")
            parameter = parameters[name]
            if key == "step":
                entry = saved.clone()  # the counter stays on the CPU
            elif saved.shape == parameter.shape:
                entry = torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)
            else:
                raise ValueError(f"the moments of {name!r} are {tuple(saved.shape)}, not {tuple(parameter.shape)}")
            self._optimizer.state[parameter][key] = entry.detach()


def _split_by_decay(parameters: Sequence[nn.Parameter], decay: float) -> list[tuple[float, list[nn.Parameter]]]:
    """Split parameters by weight decay: it applies to matrices and kernels, not to biases and norms."""
    if decay == 0.0:
        return [(0.0, list(parameters))]
    kernels = [parameter for parameter in parameters if parameter.dim() > 1]
    others = [parameter for parameter in parameters if parameter.dim() <= 1]
    return [(rate, members) for rate, members in ((decay, kernels), (0.0, others)) if members]


def _make(config: OptimizerConfig, tables: list[dict]) -> torch.optim.Optimizer:
    if config.kind == "sgd":
        return torch.optim.SGD(tables, lr=config.learning_rate, momentum=config.betas[0], nesterov=config.betas[0] > 0)
    if config.kind == "rmsprop":
        return torch.optim.RMSprop(tables, lr=config.learning_rate, alpha=config.betas[1], eps=config.epsilon)
    rule = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return rule(tables, lr=config.learning_rate, betas=config.betas, eps=config.epsilon)


@dataclass(frozen=True)
class StepReport:
    """Result of one step.

    Attributes
    ----------
    terms : unweighted loss terms by name, mean over batches, and ``loss``, their weighted sum; terms of
        further turns have the turn's name as a prefix.
    gradient_norm : before clipping, of the first turn. learning_rate : its base rate.
    samples : samples seen.
    finite : False when a term or gradient of a turn was not finite; the turn's weights were then not updated.
    """

    terms: Mapping[str, float]
    gradient_norm: float
    learning_rate: float
    samples: int
    finite: bool


def seed_for(seed: int, *place: int | str) -> int:
    """Derive a seed (63 bits) from the run's seed and the position in the run."""
    text = "/".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (all devices), numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def choose_device(name: str) -> torch.device:
    """Return the named device. ``auto`` is CUDA if available, else the CPU; other names are torch's.

    Raises ``RecipeError`` for a device that is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"There is no device {name!r}.", "Use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError("This machine has no CUDA device that torch can use.", "Use --device cpu.")
    return torch.device("cuda", 0) if device == torch.device("cuda") else device


class Trainee:
    """A stage in training. A step's samples and random numbers depend only on its number."""

    def __init__(self, config: StageConfig, number: int, seed: int, device: torch.device, bf16: bool) -> None:
        """Build stage ``number`` with fresh weights, of convolutions in the faster memory format."""
        self.config = config
        self.number = number
        self.seed = seed
        self.device = device
        self.bf16 = bf16
        seed_everything(seed_for(seed, "weights", number))
        self.stage = config.build(device)
        self.modules = self.stage.modules.to(memory_format=torch.channels_last)
        names = {parameter: name for name, parameter in self.modules.named_parameters()}
        self.turns = self.stage.turns()
        self.optimizers = [GroupedOptimizer(turn.optimizer, turn.groups, names) for turn in self.turns]
        moved = [parameter for optimizer in self.optimizers for parameter in optimizer.parameters]
        if len({id(parameter) for parameter in moved}) != len(moved):
            raise ValueError("a parameter is moved by more than one turn of the stage")
        self._floats = {name: value for name, value in self.modules.state_dict().items() if value.is_floating_point()}
        learned = set(names.values())
        self._buffers = [value for name, value in self._floats.items() if name not in learned]
        self._buffers_before = [value.clone() for value in self._buffers]
        self.average = {name: value.clone() for name, value in self._floats.items()} if config.ema else {}
        self.modules.train()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of this stage; raises ``ValueError`` when it does not fit."""
        if self.average.keys() - checkpoint.average.keys():
            raise ValueError("it has no averaged weights; leave ema as it was")
        try:
            self.modules.load_state_dict(dict(checkpoint.model))
        except RuntimeError as error:
            raise ValueError(f"the checkpoint does not fit the stage: {error}") from error
        self._load_moments(checkpoint.optimizer)
        for name, value in self.average.items():
            value.copy_(checkpoint.average[name])

    def _load_moments(self, saved: Mapping[str, Tensor]) -> None:
        """Distribute the moments to the optimizers; the first one rejects those that belong to none."""
        parts: list[dict[str, Tensor]] = [{} for _ in self.optimizers]
        for name, value in saved.items():
            owner = (k for k, one in enumerate(self.optimizers) if one.moves(name.rpartition("/")[0]))
            parts[next(owner, 0)][name] = value
        for optimizer, part in zip(self.optimizers, parts, strict=True):
            optimizer.load_state(part)

    def start_from(self, weights: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
        """Copy the weights whose names and shapes match."""
        outcome = copy_matching(self.modules, weights)
        for name, value in self.average.items():
            value.copy_(self._floats[name])
        return outcome

    def checkpoint(self, state: RunState) -> Checkpoint:
        """Make a checkpoint that shares memory with the training."""
        moments = {name: value for optimizer in self.optimizers for name, value in optimizer.state().items()}
        return Checkpoint(state, self.modules.state_dict(), self.average, moments)

    def train_step(self, source: Source, step: int, fraction: float) -> StepReport:
        """Run step number ``step``: all turns of the stage, in order, on the same samples.

        Sample indices are ``(step·A + a)·B`` and the following B, with A batches per step.
        """
        config = self.config
        numbers = range(step * config.accumulate, (step + 1) * config.accumulate)
        batches: list[Any] = [None] * len(numbers)

        def batch(part: int) -> Any:
            if batches[part] is None:
                first = numbers[part] * config.batch
                with torch.no_grad():
                    made = source.batch(range(first, first + config.batch), self.device)
                if len(self.turns) == 1:
                    return made  # not used again
                batches[part] = made
            return batches[part]

        reports = [self._take(number, batch, numbers, fraction) for number in range(len(self.turns))]
        if any(report.finite for report in reports):
            self._move_average(step)
        first = reports[0]
        terms = {name: value for report in reports for name, value in report.terms.items()}
        return replace(first, terms=terms, finite=all(report.finite for report in reports))

    def _take(self, place: int, batch: Callable[[int], Any], numbers: Sequence[int], fraction: float) -> StepReport:
        """Run one turn: forward and backward over all batches, update the turn's weights."""
        config, turn, optimizer = self.config, self.turns[place], self.optimizers[place]
        if self._buffers:
            torch._foreach_copy_(self._buffers_before, self._buffers)
        optimizer.zero_grad()
        only = optimizer.parameters if len(self.turns) > 1 else None
        sums: dict[str, Tensor] = {}
        for part, number in enumerate(numbers):
            samples = batch(part)
            seed_everything(seed_for(self.seed, self.number, number, *([turn.name] if turn.name else [])))
            with self._autocast():
                terms = turn.step(samples, fraction)
                loss = _weighted(turn, terms)
            (loss / config.accumulate).backward(inputs=only)
            for name, value in {**terms, "loss": loss}.items():
                sums[name] = sums.get(name, 0.0) + value.detach().float()
        norm = optimizer.clip()
        names = list(sums)
        means = torch.stack([sums[name] for name in names]) / config.accumulate
        *values, norm_value = torch.cat((means, norm.detach().float().reshape(1).to(means.device))).tolist()
        before = f"{turn.name}." if turn.name else ""
        terms_now = {before + name: value for name, value in zip(names, values, strict=True)}
        if turn.name:
            terms_now[f"{before}gradient_norm"] = norm_value
        finite = bool(np.isfinite([*values, norm_value]).all())
        rate = 0.0
        if finite:
            rate = optimizer.step(fraction)
        else:
            optimizer.zero_grad()
            if self._buffers:
                torch._foreach_copy_(self._buffers, self._buffers_before)
        return StepReport(terms_now, norm_value, rate, config.batch * config.accumulate, finite)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Switch to eval mode without gradients, with the averaged weights if there are any."""
        plain = {name: self._floats[name].clone() for name in self.average}
        try:
            with torch.no_grad(), self._autocast():
                for name, value in self.average.items():
                    self._floats[name].copy_(value)
                self.modules.eval()
                yield
        finally:
            with torch.no_grad():
                for name, value in plain.items():
                    self._floats[name].copy_(value)
            self.modules.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @torch.no_grad()
    def _move_average(self, step: int) -> None:
        """Update the average; the decay rises from 0.1 to ``ema`` in the first steps, to forget the initial weights
        soon."""
        if self.average:
            decay = min(self.config.ema, (1.0 + step) / (10.0 + step))
            torch._foreach_lerp_(list(self.average.values()), list(self._floats.values()), 1.0 - decay)


def _weighted(turn: Turn, terms: Mapping[str, Tensor]) -> Tensor:
    """Sum weight times term; every term needs a weight."""
    missing = [name for name in terms if not hasattr(turn.weights, name)]
    if missing:
        raise AttributeError(f"{type(turn.weights).__name__} has no weight for the loss terms {missing}")
    return sum(getattr(turn.weights, name) * value.float() for name, value in terms.items())


STEPS, SAMPLES = 2, 4
"""Of each stage, measured at most; the last step is timed, since the first allocates and compiles."""


@dataclass(frozen=True)
class StageCost:
    """A stage's cost on this machine: seconds of a step (data included), bytes in use at most, terms at the start; from
    steps of ``samples`` samples."""

    name: str
    steps: int
    samples: int
    step_seconds: float
    data_seconds: float
    peak_bytes: float
    weights: int
    terms: dict[str, float]

    @property
    def seconds(self) -> float:
        """Of the whole stage."""
        return self.steps * self.step_seconds


def stage_cost(recipe: Recipe, number: int, device: torch.device, steps: int = STEPS) -> StageCost:
    """Train ``steps`` steps of a stage from fresh weights, of ``SAMPLES`` samples at most, and measure them; nothing is
    written. Seconds are those of whole steps, in proportion."""
    whole = recipe.stages[number]
    config = replace(whole, batch=min(whole.batch, SAMPLES), accumulate=1)
    share = whole.batch * whole.accumulate / config.batch
    trainee = Trainee(config, number, recipe.seed, device, recipe.precision == "bf16")
    source, spent, drawing = _Timed(opened(config, config.source, "training data")), 0.0, 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first: dict[str, float] = {}
    timed = 0
    for step in range(max(1, steps)):
        before, source.seconds = time.monotonic(), 0.0
        report = trainee.train_step(source, step, 0.0)
        say(f"    step {step + 1} of {max(1, steps)}")
        first = first or dict(report.terms)
        if step >= min(1, steps - 1):
            spent, drawing, timed = spent + time.monotonic() - before, drawing + source.seconds, timed + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # Linux counts in KiB
    if device.type == "cuda":
        peak = float(torch.cuda.max_memory_allocated(device))
    count = sum(parameter.numel() for parameter in trainee.modules.parameters())
    seconds, data = share * spent / timed, share * drawing / timed
    return StageCost(stage_name(config), config.steps, config.batch, seconds, data, peak, count, first)


class _Timed:
    """A source that counts the seconds spent in it."""

    def __init__(self, source: object) -> None:
        self._source, self.seconds = source, 0.0

    def batch(self, indices: range, device: torch.device) -> object:
        """See ``Source``."""
        before = time.monotonic()
        made = self._source.batch(indices, device)
        say(f"    {len(indices)} samples")
        self.seconds += time.monotonic() - before
        return made


def dry_run(recipe: Recipe, device_name: str, steps: int = STEPS) -> Iterator[str]:
    """Lines for the user as they are known: each stage's cost, its terms at the start, and the sum. Raises
    ``LikenessError`` like training."""
    device, total = choose_device(device_name), 0.0
    check_sources(recipe)
    for number in range(len(recipe.stages)):
        yield f"stage {number + 1} of {len(recipe.stages)}: {stage_name(recipe.stages[number])} ..."
        cost = stage_cost(recipe, number, device, steps)
        config = recipe.stages[number]
        total += cost.seconds
        yield (
            f"{cost.name}: {cost.steps:,} steps of {config.batch} x {config.accumulate} samples, {cost.weights:,} "
            f"weights; {cost.step_seconds:.2f} s a step ({cost.data_seconds:.2f} s of it data), "
            f"{clock_text(cost.seconds)}; with {cost.samples} samples {cost.peak_bytes / 2**30:.2f} GiB"
        )
        yield "    at the start: " + ", ".join(f"{name} {value:.3g}" for name, value in cost.terms.items())
    yield f"{recipe.name} on {device}: {clock_text(total)} ({total / 3600:.1f} h), from {steps} steps a stage"


def opened(stage: StageConfig, source: SourceConfig, what: str) -> Source:
    """Build a stage's source; raises ``RecipeError`` where its files are missing or of another kind."""
    try:
        return source.build()
    except (FileNotFoundError, ValueError) as error:
        raise _no_data(stage, what, error) from error


def check_sources(recipe: Recipe) -> None:
    """Find the folders that sources of any stage name, and open the later stages' sources that name one; raises as
    ``opened`` does. The first stage opens its own before its first step: opening may take seconds and start processes.
    """
    for number, stage in enumerate(recipe.stages):
        for source, what in ((stage.source, "training data"), (stage.validation, "held-out data")):
            folders = list(_folders(encode(source)))
            for folder in folders:
                if not Path(folder).is_dir():
                    raise _no_data(stage, what, f"there is no folder {folder}")
            if number and folders:
                opened(stage, source, what)


def _folders(value: object) -> Iterator[str]:
    """What is called ``folder`` or ``face_model`` in a source's encoded configuration, at any depth."""
    if isinstance(value, Mapping):
        named = (value.get(key) for key in ("folder", "face_model"))
        yield from (folder for folder in named if isinstance(folder, str) and folder)
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _folders(inner)


def _no_data(stage: StageConfig, what: str, why: object) -> RecipeError:
    advice = (
        "Portraits are prepared by `python -m trainer data people FOLDER --out PREPARED` (or a set by its name); "
        f"the source's `folder` in the recipe names them (--set stages.{stage_name(stage)}.source...)."
    )
    return RecipeError(f"Stage {stage_name(stage)!r} has no {what}: {why}.", advice)
