"""The training loop: stages in sequence, logs, held-out measurements, checkpoints, time limits, exact resume."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from backend.errors import LikenessError
from protocol.file_lock import lock_file
from trainer.engine import logs
from trainer.engine.checkpoint import Checkpoint, CheckpointFolder, RunState, read_weights
from trainer.engine.contracts import Source, StageConfig
from trainer.engine.logs import say
from trainer.engine.recipe import Recipe, RecipeError, encode, recipe_to_toml, stage_name
from trainer.engine.trainee import StepReport, Trainee, check_sources, choose_device, opened

RECIPE_FILE = "recipe.toml"


@dataclass(frozen=True)
class RunOptions:
    """Options of one session that are not part of the recipe.

    Attributes
    ----------
    folder : the run's folder: ``recipe.toml``, ``log.jsonl``, ``curves.png``, ``checkpoints/``.
    minutes : time limit of the session, which then ends with a checkpoint; 0: no limit.
    resume : continue from the latest checkpoint in ``folder``.
    init_from : initial weights of the first stage; a checkpoint or an exported model.
    device : ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
    """

    folder: Path
    minutes: float = 0.0
    resume: bool = False
    init_from: Path | None = None
    device: str = "auto"


class TrainingDivergedError(LikenessError):
    """Losses stayed not finite; the last checkpoint is from before that."""

    def __init__(self, stage: str, step: int, report: StepReport) -> None:
        broken = [name for name, value in report.terms.items() if not math.isfinite(value)]
        what = f"loss terms {', '.join(broken)}" if broken else "the gradient"
        sentence = f"Training stage {stage!r} was ended at step {step}: {what} stayed not finite."
        advice = "The latest checkpoint is from before; look at the data or lower the rate."
        super().__init__("internal", sentence, advice)


def train(recipe: Recipe, options: RunOptions, clock: Callable[[], float] = time.monotonic) -> RunState:
    """Run a recipe, or continue it; returns its state at the end of this session.

    On the CPU a run gives bit-identical results, however often it was killed and resumed and however busy the machine
    was.

    Raises
    ------
    RecipeError : the folder has another run, there is nothing to resume, or initial weights are not usable.
    TrainingDivergedError : losses stayed not finite.
    """
    device = choose_device(options.device)
    with _deterministic(device), _StopRequest() as stop:
        return _Session(recipe, options, device, clock, stop).run()


class _StopRequest:
    """Turns Ctrl-C and SIGTERM into a request to stop with a checkpoint; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> _StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True


class _Session:
    """One session."""

    def __init__(
        self, recipe: Recipe, options: RunOptions, device: torch.device, clock: Callable[[], float], stop: _StopRequest
    ) -> None:
        self.recipe = recipe
        self.options = options
        self.device = device
        self.clock = clock
        self.stop = stop
        self.started = clock()
        self.saved_at = self.started
        self.checkpoints = CheckpointFolder(options.folder / "checkpoints", recipe.keep)
        self._pace = logs.Pace()
        self.state = RunState()

    def run(self) -> RunState:
        check_sources(self.recipe)
        start = self._starting_point()
        if self.state.finished:
            say("This run is finished; there is nothing to resume.")
            return self.state
        folder = self.options.folder
        alone = lock_file(folder / ".lock")
        if alone is None:
            raise RecipeError(f"Another run is writing to {folder}.", "Give this one a folder by --out.")
        self.checkpoints.remove_leftovers()
        (folder / RECIPE_FILE).write_text(recipe_to_toml(self.recipe), encoding="utf-8")
        self.log = logs.RunLog(folder, self.state.run_steps)
        limits = logs.research_sets(encode(self.recipe)) | logs.inherited_limits(self.options.init_from)
        logs.log_session(folder, self.device, self.state.run_steps, limits)
        try:
            weights: Mapping[str, Tensor] = read_weights(self.options.init_from) if self.options.init_from else {}
            for number in range(self.state.stage, len(self.recipe.stages)):
                trainee = self._make_trainee(number, start, weights)
                start = None
                if not self._train_stage(trainee):
                    break
                weights = trainee.checkpoint(self.state).weights
                self._next_stage(trainee)
        finally:
            self.log.close()
            alone.release()
        return self.state

    def _starting_point(self) -> Checkpoint | None:
        """Load the checkpoint to continue from; sets ``state``."""
        folder = self.options.folder
        if not self.options.resume:
            if self.checkpoints.files():
                advice = "Use --resume to continue it, --out for another folder, or delete it."
                raise RecipeError(f"There is a run in {folder} already.", advice)
            return None
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            raise RecipeError(f"There is no checkpoint to resume in {folder}.", "Start it without --resume.")
        if self.options.init_from is not None:
            raise RecipeError("--resume and --init-from exclude each other.")
        self.state = checkpoint.state
        return checkpoint

    def _make_trainee(self, number: int, start: Checkpoint | None, weights: Mapping[str, Tensor]) -> Trainee:
        """Build stage ``number`` and load its initial weights."""
        recipe, config = self.recipe, self.recipe.stages[number]
        trainee = Trainee(config, number, recipe.seed, self.device, recipe.precision == "bf16")
        name = stage_name(config)
        count = sum(parameter.numel() for parameter in trainee.modules.parameters())
        say(f"stage {number + 1}/{len(recipe.stages)} {name}: {count:,} weights on {self.device}")
        if start is not None:
            try:
                trainee.restore(start)
            except ValueError as error:
                raise RecipeError(f"The checkpoint in {self.options.folder} cannot be resumed: {error}.") from error
            say(f"resumed at step {self.state.step}")
        elif weights:
            taken, fresh = trainee.start_from(weights)
            if not taken and number == 0:
                raise RecipeError(f"No weight in {self.options.init_from} has a name and shape of stage {name!r}.")
            say(f"starts from {len(taken)} given tensors; {len(fresh)} are fresh")
        return trainee

    def _train_stage(self, trainee: Trainee) -> bool:
        """Train from ``state.step`` to the stage's end; False when the session must end earlier."""
        config = trainee.config
        source = opened(config, config.source, "training data")
        held_out = opened(config, config.validation, "held-out data") if config.validation else None
        skipped_in_row, first_step = 0, self.state.step
        while True:
            fraction, ends, must_stop = self._decide(config)
            if ends or must_stop:
                break
            begin = self.clock()
            report = trainee.train_step(source, self.state.step, fraction)
            self._count(report, self.clock() - begin)
            skipped_in_row = 0 if report.finite else skipped_in_row + 1
            self._tell(trainee, report)
            if skipped_in_row > self.recipe.max_skipped:
                raise TrainingDivergedError(stage_name(config), self.state.step, report)
            if held_out is not None and self.state.step % self.recipe.validate_steps == 0:
                self._measure(trainee, held_out)
            if self._checkpoint_is_due():
                self._save(trainee)
        measured = self.state.step == first_step or self.state.step % self.recipe.validate_steps == 0
        if held_out is not None and ends and not measured:
            self._measure(trainee, held_out)
        if must_stop and not ends:
            self._save(trainee)
            say(f"stopped at step {self.state.step} with a checkpoint; go on with --resume")
        return ends

    def _decide(self, config: StageConfig) -> tuple[float, bool, bool]:
        """Return the finished fraction of the stage, whether the stage ends here, and whether the session ends."""
        fraction = self.state.step / config.steps
        must_stop = self.stop.asked
        if self.options.minutes > 0:
            must_stop |= self.clock() - self.started >= 60.0 * self.options.minutes
        return min(fraction, 1.0), fraction >= 1.0, must_stop

    def _count(self, report: StepReport, seconds: float) -> None:
        state = self.state
        self.state = replace(
            state,
            step=state.step + 1,
            samples=state.samples + report.samples,
            seconds=state.seconds + seconds,
            run_steps=state.run_steps + 1,
            run_seconds=state.run_seconds + seconds,
            skipped=state.skipped + (not report.finite),
        )

    def _tell(self, trainee: Trainee, report: StepReport) -> None:
        """Write the log and the progress line."""
        config, state = trainee.config, self.state
        rate = state.samples / max(state.seconds, 1e-9)
        if not report.finite:
            bad = ", ".join(name for name, value in report.terms.items() if not math.isfinite(value)) or "gradient"
            say(f"step {state.step} skipped: {bad} not finite")
        if state.step % self.recipe.log_steps == 0 or not report.finite:
            values = {**report.terms, "gradient_norm": report.gradient_norm, "learning_rate": report.learning_rate}
            self.log.scalars("train", stage_name(config), state, {**values, "images_per_second": rate})
        if self._pace.due():
            terms = " ".join(f"{name} {value:.4g}" for name, value in report.terms.items())
            left = logs.clock_text(self._seconds_left(config, rate))
            say(f"{stage_name(config)} {state.step}/{config.steps}  {terms}  {rate:.1f} images/s  {left} left")

    def _seconds_left(self, config: StageConfig, rate: float) -> float:
        """Seconds until this session ends: the remaining samples at the present rate, or an earlier time limit."""
        total = 0.0
        for number, stage in enumerate(self.recipe.stages[self.state.stage :]):
            steps = self.state.step if number == 0 else 0
            total += (stage.steps - steps) * stage.batch * stage.accumulate / rate
        if self.options.minutes:
            total = min(total, 60.0 * self.options.minutes - (self.clock() - self.started))
        return total

    def _measure(self, trainee: Trainee, held_out: Source) -> None:
        """Compute metrics on held-out data; save the weights when they are the best so far."""
        config = trainee.config
        with trainee.evaluating():
            figures = dict(trainee.stage.metrics(self._held_out_batches(config, held_out)))
        self.log.scalars("validation", stage_name(config), self.state, figures)
        words = "".join(f"\n  {name} {value:.4g}" for name, value in figures.items())
        say(f"{stage_name(config)} step {self.state.step} held out:{words}")
        if not config.select:
            return
        sign, name = (1.0 if config.select[0] == "+" else -1.0), config.select[1:]
        if name not in figures:
            raise RecipeError(f"select names {name!r}; the stage measures {', '.join(figures) or 'nothing'}.")
        if math.isfinite(figures[name]) and (self.state.best is None or sign * (figures[name] - self.state.best) > 0):
            self.state = replace(self.state, best=figures[name])
            self.checkpoints.save_best(trainee.checkpoint(self.state))

    def _held_out_batches(self, config: StageConfig, source: Source) -> Iterator[object]:
        """Batches under ``Source``'s conditions, without autocast: the caller evaluates within its own autocast."""
        for start in range(0, config.validation_samples, config.batch):
            with torch.autocast(self.device.type, enabled=False):
                batch = source.batch(range(start, min(start + config.batch, config.validation_samples)), self.device)
            yield batch

    def _checkpoint_is_due(self) -> bool:
        if self.recipe.checkpoint_steps and self.state.step % self.recipe.checkpoint_steps == 0:
            return True
        return self.clock() - self.saved_at >= 60.0 * self.recipe.checkpoint_minutes

    def _save(self, trainee: Trainee) -> None:
        self.checkpoints.save(trainee.checkpoint(self.state))
        self.log.draw()
        self.saved_at = self.clock()

    def _next_stage(self, trainee: Trainee) -> None:
        """Save the stage's end, then set ``state`` to the next stage."""
        state, last = self.state, self.state.stage + 1 == len(self.recipe.stages)
        self.state = replace(state, finished=last)
        self._save(trainee)
        if last:
            say(f"finished after {state.run_steps} steps and {logs.clock_text(state.run_seconds)} of training")
            return
        self.state = RunState(stage=state.stage + 1, run_steps=state.run_steps, run_seconds=state.run_seconds)


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """Select torch's deterministic kernels on the CPU, fast ones on CUDA."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill
