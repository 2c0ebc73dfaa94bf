"""``python -m trainer RECIPE --dry-run``: what a recipe costs on this machine, measured from a few real steps."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import torch

from trainer.engine.distributed import World, choose_device
from trainer.engine.logs import clock_text
from trainer.engine.recipe import Recipe, stage_name
from trainer.engine.trainee import Trainee

STEPS = 20
"""Steps of each stage that are measured."""
_UNTIMED = 2
"""First steps, which allocate, compile and initialise."""


@dataclass(frozen=True)
class StageCost:
    """A stage's cost on this machine: seconds of a step (data included), bytes in use at most, terms at the start."""

    name: str
    steps: int
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
    """Train ``steps`` steps of a stage from fresh weights and measure them; nothing is written."""
    config = recipe.stages[number]
    world = World(0, 1, device)
    trainee = Trainee(config, number, recipe.seed, world, recipe.precision == "bf16", recipe.channels_last)
    source, spent, drawing = _Timed(config.source.build()), 0.0, 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first: dict[str, float] = {}
    timed = 0
    for step in range(max(1, steps)):
        before, source.seconds = time.monotonic(), 0.0
        report = trainee.train_step(source, step, 0.0)
        first = first or dict(report.terms)
        if step >= min(_UNTIMED, steps - 1):
            spent, drawing, timed = spent + time.monotonic() - before, drawing + source.seconds, timed + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0  # Linux counts in KiB
    if device.type == "cuda":
        peak = float(torch.cuda.max_memory_allocated(device))
    count = sum(parameter.numel() for parameter in trainee.modules.parameters())
    return StageCost(stage_name(config), config.steps, spent / timed, drawing / timed, peak, count, first)


class _Timed:
    """A source that counts the seconds spent in it."""

    def __init__(self, source: object) -> None:
        self._source, self.seconds = source, 0.0

    def batch(self, indices: range, device: torch.device) -> object:
        """See ``Source``."""
        before = time.monotonic()
        made = self._source.batch(indices, device)
        self.seconds += time.monotonic() - before
        return made


def dry_run(recipe: Recipe, device_name: str, steps: int = STEPS) -> list[str]:
    """Lines for the user: a line per stage, its terms at the start, and the sum. Raises ``LikenessError`` like
    training."""
    device, lines, total = choose_device(device_name), [], 0.0
    for number in range(len(recipe.stages)):
        cost = stage_cost(recipe, number, device, steps)
        config = recipe.stages[number]
        total += cost.seconds
        lines.append(
            f"{cost.name}: {cost.steps:,} steps of {config.batch} x {config.accumulate} samples, {cost.weights:,} "
            f"weights; {cost.step_seconds:.2f} s a step ({cost.data_seconds:.2f} s of it data), at most "
            f"{cost.peak_bytes / 2**30:.2f} GiB, {clock_text(cost.seconds)}"
        )
        lines.append("    at the start: " + ", ".join(f"{name} {value:.3g}" for name, value in cost.terms.items()))
    lines.append(f"{recipe.name} on {device}: {clock_text(total)} ({total / 3600:.1f} h), from {steps} steps a stage")
    return lines
