"""How long-running work tells how far it is, and learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class ProgressReporter(Protocol):
    """Called with the stage's name and its fraction done (0 to 1); may raise ``errors.Cancelled``."""

    def __call__(self, stage: str, fraction: float) -> None: ...


def silent(stage: str, fraction: float) -> None:
    """A ``ProgressReporter`` that reports nothing."""


class StageClock:
    """Measures wall seconds per named stage; ``seconds`` maps stage name to seconds, in order of first use."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the ``with`` body to ``seconds[name]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
