"""Progress reports of long-running work, cancellation and the estimate of the time left.

The stages of a job: their usual duration, and the sentences shown meanwhile.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol


class ProgressReporter(Protocol):
    """Receives the stage's name and its completed fraction (0 to 1); may raise ``errors.Cancelled``."""

    def __call__(self, stage: str, fraction: float) -> None: ...


def silent(stage: str, fraction: float) -> None:
    """A ``ProgressReporter`` that reports nothing."""


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


KEPT_SECONDS = 0.5
"""What is reached so soon counts as kept of an earlier job, which says nothing of the pace."""
OWN_PACE = 0.1
"""Fraction of a stage after which its own pace counts as much as the mean pace before it."""
FALL_SECONDS = 2.0
"""Time constant in which a time left that was too long falls to the estimate."""
STILL, STILL_SECONDS = 1.25, 1.5
"""The time left stands still while the estimate exceeds it by no more than this factor and so many seconds."""
MOST_RISE = 0.4
"""Seconds; most that the time left rises between two looks. It rises by at most one second per second."""


class TimeLeft:
    """Estimates the time left from each stage's usual share of the total.

    The rest of the running stage is estimated from its own pace, all later stages from the mean pace so far, without
    what was kept of an earlier job. What is shown follows this without jumps, and rises only if work takes much longer.

    Parameters
    ----------
    shares : stage -> usual share of the total time, in the order of the stages; any positive scale. Stages not listed
        are ignored.
    start : in seconds of any clock, whose time the methods are told.
    """

    def __init__(self, shares: Mapping[str, float], start: float) -> None:
        ends = [end / sum(shares.values()) for end in accumulate(shares.values(), initial=0.0)]
        self._spans = dict(zip(shares, pairwise(ends), strict=True))
        self.fraction = self._kept = 0.0
        self._begun = self._start = self._updated = self._looked = start
        self._stage, self._stage_start = "", start
        self._left = self._shown = -1.0

    def update(self, stage: str, fraction: float, now: float) -> None:
        """Record that ``stage`` is done to ``fraction`` (0-1). Progress never goes back: lower values are ignored."""
        begin, end = self._spans.get(stage, (0.0, -1.0))
        reached = begin + (end - begin) * min(max(fraction, 0.0), 1.0)
        if reached < self.fraction or end <= begin:
            return
        if stage != self._stage:
            self._stage, self._stage_start = stage, self._updated if fraction > 0 else now
        self.fraction, self._updated = reached, now
        if now - self._begun < KEPT_SECONDS:
            self._start, self._kept = now, reached
        elif reached > self._kept:
            mean = (now - self._start) / (reached - self._kept)
            known = OWN_PACE * (end - begin)
            pace = (now - self._stage_start + known * mean) / max(reached - begin + known, 1e-9)
            self._left = pace * (end - reached) + mean * (1.0 - end)

    def seconds_left(self, now: float) -> float | None:
        """The time left to show now; None while there is too little progress for an estimate. While no update arrives
        it falls at half the clock's speed, at most to three quarters."""
        if self._left < 0:
            return None
        target = max(self._left - 0.5 * (now - self._updated), 0.75 * self._left)
        passed, self._looked = now - self._looked, now
        if self._shown < 0 or self.fraction > 1.0 - 1e-9:
            self._shown = target
        elif target < self._shown - passed:
            self._shown = target + (self._shown - passed - target) * math.exp(-passed / FALL_SECONDS)
        else:
            believed = target / STILL - STILL_SECONDS
            self._shown = max(min(self._shown, target), min(believed, self._shown + min(passed, MOST_RISE)))
        return self._shown


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
