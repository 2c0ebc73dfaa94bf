"""Progress reports of long-running work, cancellation, previews and the estimate of the time left.

The stages of a job: their usual duration, and the sentences shown meanwhile.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np


class ProgressReporter(Protocol):
    """Receives the stage's name and its completed fraction (0 to 1); may raise ``errors.Cancelled``."""

    def __call__(self, stage: str, fraction: float) -> None: ...


def silent(stage: str, fraction: float) -> None:
    """A ``ProgressReporter`` that reports nothing."""


@dataclass(frozen=True)
class HeadPreview:
    """The intermediate head during a reconstruction.

    Attributes
    ----------
    stage : the stage that produced it.
    vertices : (V, 3) float32 neutral vertices of the part ``head``, head frame, metres.
    quads : (F, 4) int32 vertex ids; a triangle repeats its last vertex.
    colors : (V, 3) float32 linear albedo per vertex, None before it is known.
    """

    stage: str
    vertices: np.ndarray
    quads: np.ndarray
    colors: np.ndarray | None = None


class PreviewReceiver(Protocol):
    """Receives every intermediate head; should return quickly."""

    def __call__(self, preview: HeadPreview) -> None: ...


def no_preview(preview: HeadPreview) -> None:
    """A ``PreviewReceiver`` that ignores previews."""


class MainLine:
    """A ``ProgressReporter`` for the stages that decide how long a job takes; ``aside`` is one for stages that run
    beside them in other threads, which may be cancelled and change nothing that is shown."""

    def __init__(self, report: ProgressReporter) -> None:
        self._report, self._last = report, ("", 0.0)

    def __call__(self, stage: str, fraction: float) -> None:
        self._last = stage, fraction
        self._report(stage, fraction)

    def aside(self, stage: str, fraction: float) -> None:
        """Repeat the main line's last report; raises ``errors.Cancelled`` as that does."""
        self._report(*self._last)


class StageClock:
    """Measures wall seconds per named stage; ``seconds`` maps stage name to seconds, in order of their ends. Stages may
    overlap."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of the ``with`` body to ``seconds[name]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._start

    def to_report(self, names: Iterable[str]) -> dict[str, float]:
        """``seconds.NAME`` of those stages that have ended, and ``seconds.total``."""
        seconds = {name: self.seconds[name] for name in names if name in self.seconds} | {"total": self.total}
        return {f"seconds.{name}": round(value, 4) for name, value in seconds.items()}


EVEN_STAGE = 0.1
"""Prior on a stage's pace: weight, as a fraction of the stage, of the mean pace of all stages before."""
SILENT_PACE, SILENT_PART = 0.5, 0.75
"""While no update arrives, the time left falls at this speed, at most to this fraction of itself: work may be slower,
and a time that rises is worse than one that falls faster later."""
DECAY_SECONDS = 2.0
"""Time constant in which a time left that was too long falls to the estimate."""
SLOWER, SLOWER_SECONDS = 1.15, 1.5
"""The time left stands still while the estimate exceeds it by no more than this factor and so many seconds."""
RISE, RISE_AT_ONCE = 1.0, 0.4
"""Seconds per second: most that the time left rises when work takes longer; and most seconds at one update, however
long the pause before it."""


def extrapolated_seconds(seconds_left: float, silent: float, owed: float = 0.0) -> float:
    """Time to show when the last update, with ``seconds_left``, was ``silent`` seconds ago; stays above 0.

    ``owed`` : seconds by which the work is known to take longer; added first, at the rate ``RISE``.
    """
    paid = min(owed, RISE * silent)
    known, rest = seconds_left + paid, silent - paid / RISE
    return max(known - SILENT_PACE * rest, SILENT_PART * known)


class TimeLeft:
    """Estimates the time left from each stage's usual share of the total.

    The rest of the running stage is estimated from its own pace, all later stages from the mean pace so far. The
    displayed time follows this estimate without jumps: it falls slowly between updates, faster if the estimate is
    shorter, and stands still if the estimate is slightly longer. It rises only if work takes much longer than
    estimated, at most at the rate ``RISE``; the remaining rise is ``owed``.

    Parameters
    ----------
    shares : stage -> usual share of the total time, in the order of the stages; any positive scale. Stages not listed
        are ignored.
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
        self._stage = ""
        self._stage_start = self._updated = self._start
        self._pace = 0.0
        self._shown: float | None = None
        self.owed = 0.0
        self._least = 0.0

    def update(self, stage: str, fraction: float) -> None:
        """Record that ``stage`` is done to ``fraction`` (0-1). Progress never goes back: lower values are ignored."""
        if stage not in self._shares:
            return
        reached = self._before[stage] + self._shares[stage] * min(max(fraction, 0.0), 1.0)
        if reached < self.fraction:
            return
        now, displayed = self._now(), self.seconds_left
        if stage != self._stage:
            begun = self._updated if fraction > 0 else now
            done = max(self.fraction, self._before[stage])
            self._pace = (begun - self._start) / done if done > 0 else 0.0
            self._stage, self._stage_start = stage, begun
        passed = now - self._updated
        self.fraction, self._updated = reached, now
        self._shown = self._followed(displayed, passed)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._start

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds left; None while there is too little progress for an estimate."""
        if self._shown is None:
            return None
        return max(
            extrapolated_seconds(self._shown, self._now() - self._updated, self.owed), min(self._shown, self._least)
        )

    def _followed(self, displayed: float | None, passed: float) -> float | None:
        """New time to show, when ``seen`` is shown and the previous update was ``passed`` seconds ago."""
        if self.fraction < 0.02 or self.elapsed < 0.5:
            return None
        estimate = self._estimate()
        owed, self.owed = self.owed, 0.0
        if displayed is None or self._shown is None or self.fraction >= 1.0 - 1e-9:
            return estimate
        counted = max(self._shown + min(owed, RISE * passed) - passed, 0.0)
        if estimate <= counted:
            return estimate + (counted - estimate) * math.exp(-passed / DECAY_SECONDS)
        believed = estimate / SLOWER - SLOWER_SECONDS
        shown = min(estimate, max(displayed, min(believed, displayed + min(RISE * passed, RISE_AT_ONCE))))
        self.owed = max(0.0, believed - shown)
        return shown

    def _estimate(self) -> float:
        """Seconds left at the paces so far; sets ``_least``, the seconds left after the running stage."""
        share, before = self._shares[self._stage], self._before[self._stage]
        done, seconds = self.fraction - before, self._updated - self._stage_start
        known = EVEN_STAGE * share if self._pace > 0 else 0.0
        pace = (seconds + known * self._pace) / (done + known) if done + known > 0 else self._pace
        mean = (self._updated - self._start) / self.fraction if share > 0 else self._pace
        rest = 1.0 - before - share
        self._least = mean * rest
        if done >= share:  # the next stage is running
            following = (self._shares[name] for name, start in self._before.items() if start >= before + share)
            self._least -= mean * next((one for one in following if one > 0), 0.0)
        return pace * (share - done) + mean * rest


@dataclass(frozen=True)
class Stage:
    """A stage's name, its usual share of the total time, and a sentence that describes it."""

    name: str
    share: float
    sentence: str


STARTING, SENDING, WRITING = "starting", "sending", "writing files"
STAGES: tuple[Stage, ...] = (
    Stage(STARTING, 0.0, "Starting up"),
    Stage("photos", 0.08, "Looking at the photos"),
    Stage("canonical", 0.01, "Estimating the face's surface"),
    Stage("personalise", 0.0, "Tuning the face model to this person"),
    Stage("encoder", 0.01, "Making a first estimate of the face"),
    Stage("landmarks", 0.04, "Finding the face's shape"),
    Stage("dense", 0.08, "Aligning the photos with each other"),
    Stage("cage", 0.02, "Refining the shape"),
    Stage("appearance", 0.02, "Estimating light and skin colour"),
    Stage("rig", 0.03, "Making the shape keys"),
    Stage("hair", 0.20, "Growing the hair"),
    Stage("texture", 0.49, "Painting the texture"),
    Stage(SENDING, 0.02, "Packing the head"),
)
"""In order; shares as measured with three photos, standard quality and a 1024 px texture on two cores."""

TRANSFER_STAGES: tuple[Stage, ...] = (
    Stage(STARTING, 0.0, "Starting up"),
    Stage("identity", 0.15, "Estimating the neutral face"),
    Stage("expression", 0.85, "Following the expression"),
)
"""The same for a transfer."""

SENTENCES = {stage.name: stage.sentence for stage in STAGES + TRANSFER_STAGES}
SHARES = {stage.name: stage.share for stage in STAGES}
TRANSFER_SHARES = {stage.name: stage.share for stage in TRANSFER_STAGES}
FILE_SHARES = {name: share for name, share in SHARES.items() if name not in (STARTING, SENDING)} | {WRITING: 0.13}
"""Shares for a job that writes files, on the same scale."""
LOADING_SENTENCE = "Loading the models"
"""Sentence of the stage ``starting`` while no worker is ready."""


def sentence_for(stage: str) -> str:
    """The sentence that describes ``stage``."""
    return SENTENCES.get(stage) or stage.capitalize()
