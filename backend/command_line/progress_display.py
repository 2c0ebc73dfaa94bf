"""Progress in the terminal: the stage, how far it is, and an estimate of the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


class TimeLeft:
    """Estimates the time left from each stage's usual share of the whole.

    Parameters
    ----------
    shares : stage -> usual share of the whole time, in the order of the stages; any positive scale. A stage that is
        not in it moves nothing.
    now : the clock, in seconds.
    """

    def __init__(self, shares: Mapping[str, float], now: Callable[[], float] = time.monotonic) -> None:
        total = sum(shares.values()) or 1.0
        self._now = now
        self._start = now()
        self._shares = {stage: share / total for stage, share in shares.items()}
        self._before: dict[str, float] = {}
        passed = 0.0
        for stage, share in self._shares.items():
            self._before[stage] = passed
            passed += share
        self.fraction = 0.0

    def update(self, stage: str, fraction: float) -> None:
        """Note that ``stage`` is done to ``fraction`` (0-1). What is done stays done: going back moves nothing."""
        if stage in self._shares:
            reached = self._before[stage] + self._shares[stage] * min(max(fraction, 0.0), 1.0)
            self.fraction = max(self.fraction, reached)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._start

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds left; None while there is too little to go by."""
        if self.fraction < 0.02 or self.elapsed < 0.5:
            return None
        return self.elapsed * (1.0 - self.fraction) / self.fraction


class TerminalProgress:
    """A ``ProgressReporter`` that draws a bar on a terminal, and prints a line per stage anywhere else."""

    def __init__(self, console: Console, shares: Mapping[str, float]) -> None:
        self._console = console
        self._time = TimeLeft(shares)
        self._stage = ""
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description:<24}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[left]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=1.0, left="")

    def __enter__(self) -> TerminalProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, fraction: float) -> None:
        self._time.update(stage, fraction)
        if self._bar is not None:
            left = self._time.seconds_left
            text = "" if left is None else f"about {format_seconds(left)} left"
            self._bar.update(self._task, description=stage, completed=self._time.fraction, left=text)
        elif stage != self._stage:
            self._console.print(f"{self._time.elapsed:6.1f} s  {stage}", highlight=False)
        self._stage = stage


def format_seconds(seconds: float) -> str:
    """``seconds`` as a person says it: 8 s, 2 min 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
