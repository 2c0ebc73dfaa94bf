"""How long-running work tells how far it is, and learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class ProgressReporter(Protocol):
    """Called with the stage's name and its fraction done (0 to 1); may raise ``errors.Cancelled``."""

    def __call__(self, stage: str, fraction: float) -> None: ...


def silent(stage: str, fraction: float) -> None:
    """A ``ProgressReporter`` that reports nothing."""


@dataclass(frozen=True)
class HeadPreview:
    """The head as far as it is, while a reconstruction runs.

    Attributes
    ----------
    stage : the stage that just came this far.
    vertices : (V, 3) float32 neutral vertices of the part ``head``, head frame, metres.
    quads : (F, 4) int32 vertex ids; a triangle repeats its last vertex.
    colors : (V, 3) float32 linear albedo per vertex, None before it is known.
    """

    stage: str
    vertices: np.ndarray
    quads: np.ndarray
    colors: np.ndarray | None = None


class PreviewReceiver(Protocol):
    """Called with every intermediate head; should return quickly."""

    def __call__(self, preview: HeadPreview) -> None: ...


def no_preview(preview: HeadPreview) -> None:
    """A ``PreviewReceiver`` that looks at nothing."""


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
