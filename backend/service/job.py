"""One job, from its photos to its last message."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backend.service.messages import JobOptions
from backend.service.stages import STARTING


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class JobError:
    """Why a job ended without a result."""

    code: str
    sentence: str
    advice: str = ""


@dataclass(frozen=True)
class JobProgress:
    """How far a job was at the server's time ``noted``; ``seconds_left`` is an estimate, None where there is none."""

    stage: str = STARTING
    stage_fraction: float = 0.0
    fraction: float = 0.0
    seconds_left: float | None = None
    noted: float = 0.0

    def seconds_left_at(self, now: float) -> float | None:
        """The estimate, less what has passed since; never quite nothing."""
        if self.seconds_left is None:
            return None
        return round(max(self.seconds_left - (now - self.noted), min(self.seconds_left, 0.5)), 1)


@dataclass
class Job:
    """A job. Times are of the server's monotonic clock, in seconds.

    Attributes
    ----------
    number : counts up; the order in which jobs came.
    client : public key of the client that gave it. group : who takes turns with whom: client and first connection.
    listener : identity of the connection that hears of it, None when that is gone.
    folder : holds the photos while the job is unfinished, and later the result.
    photos : names. photo_bytes, result_bytes : on the disk.
    position : as last told to the listener, None before.
    started : when the worker got it, None while it waits.
    stop_by : when the worker is killed if the job has not stopped by then, None while nobody wants it stopped.
    """

    id: str
    token: str
    number: int
    client: str
    group: tuple[str, bytes]
    listener: bytes | None
    options: JobOptions
    photos: tuple[str, ...]
    folder: Path
    photo_bytes: int
    result_bytes: int = 0
    state: JobState = JobState.QUEUED
    progress: JobProgress = field(default_factory=JobProgress)
    position: int | None = None
    started: float | None = None
    told: float = 0.0
    stop_by: float | None = None
    finished: float | None = None
    error: JobError | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in UNFINISHED

    @property
    def photo_paths(self) -> tuple[Path, ...]:
        """Where the photos lie, in order."""
        return tuple(self.folder / f"photo_{number}" for number in range(len(self.photos)))

    @property
    def result_path(self) -> Path:
        """Where the worker puts the result, in ``frames`` format."""
        return self.folder / "result"
