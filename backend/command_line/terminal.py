"""What commands show in a terminal and hear from it: progress, times in words, signals, a missing device."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from backend.errors import LikenessError
from backend.progress import TimeLeft


class TerminalProgress(Progress):
    """A ``ProgressReporter`` that draws a bar on a terminal, and prints a line per stage elsewhere; a context."""

    def __init__(self, console: Console, shares: Mapping[str, float]) -> None:
        stage, left = TextColumn("{task.description:<24}"), TextColumn("{task.fields[left]}")
        columns = stage, BarColumn(), TaskProgressColumn(), left
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._begun = time.monotonic()
        self._time, self._stage = TimeLeft(shares, self._begun), ""
        self._bar = self.add_task("starting", total=1.0, left="")

    def __call__(self, stage: str, fraction: float) -> None:
        now = time.monotonic()
        self._time.update(stage, fraction, now)
        left = self._time.seconds_left(now)
        text = "" if left is None else f"about {format_seconds(left)} left"
        self.update(self._bar, description=stage, completed=self._time.fraction, left=text)
        if self.disable and stage != self._stage:
            self.console.print(f"{now - self._begun:6.1f} s  {stage}", highlight=False)
        self._stage = stage


def format_seconds(seconds: float) -> str:
    """``seconds`` in words: 8 s, 2 min 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def counted(count: int, thing: str) -> str:
    """``1 worker``, ``2 workers``."""
    return f"{count} {thing}{'s' * (count != 1)}"


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise ``KeyboardInterrupt`` too, as a context, so that temporary files are removed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def check_device(name: str) -> None:
    """Raise ``LikenessError`` with code "missing_part" when CUDA is requested but missing."""
    if name != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        advice = "Use --device auto, or run: python -m backend doctor"
        raise LikenessError("missing_part", "torch finds no CUDA device.", advice)
