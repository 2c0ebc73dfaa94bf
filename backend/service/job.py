"""One job, from its photos to its last message."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from backend.progress import extrapolated_seconds
from backend.service.messages import JobOptions, NewJob, Submit
from backend.stages import STARTING


class JobKind(StrEnum):
    """What a job produces."""

    RECONSTRUCT = "reconstruct"
    TRANSFER = "transfer"


class JobState(StrEnum):
    """State of a job."""

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
    """A job's progress at the server's time ``noted``. ``seconds_left`` is an estimate, None without one, which still
    has to rise by ``owed`` seconds."""

    stage: str = STARTING
    stage_fraction: float = 0.0
    fraction: float = 0.0
    seconds_left: float | None = None
    noted: float = 0.0
    owed: float = 0.0

    def seconds_left_at(self, now: float) -> float | None:
        """The estimate minus a part of the time since then (``progress.extrapolated_seconds``), rounded to 0.1 s."""
        if self.seconds_left is None:
            return None
        return round(extrapolated_seconds(self.seconds_left, now - self.noted, self.owed), 1)


@dataclass
class Job:
    """A job. Times are of the server's monotonic clock, in seconds.

    Attributes
    ----------
    number : counts up in the order of arrival.
    client : public key of the client that submitted it. group : unit of fair scheduling: client and first connection.
    listener : identity of the connection that gets its messages, None when that is gone.
    message : the client's request.
    folder : holds the photos or the video while the job is unfinished, and later the result.
    file_bytes, result_bytes : on the disk.
    position : as last sent to the listener, None before.
    cold_share : share of the whole time spent waiting for a worker that loads the models; 0 where one was ready.
    started : when the worker got it, None while it waits.
    stop_by : when the worker is killed unless the job has stopped, None while it is not to be stopped.
    """

    id: str
    token: str
    number: int
    client: str
    group: tuple[str, bytes]
    listener: bytes | None
    message: NewJob
    folder: Path
    file_bytes: int
    result_bytes: int = 0
    state: JobState = JobState.QUEUED
    progress: JobProgress = field(default_factory=JobProgress)
    position: int | None = None
    cold_share: float = 0.0
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
    def kind(self) -> JobKind:
        """What the job produces."""
        return JobKind.RECONSTRUCT if isinstance(self.message, Submit) else JobKind.TRANSFER

    @property
    def options(self) -> JobOptions:
        """The job's options; defaults for a transfer, which has none."""
        return self.message.options if isinstance(self.message, Submit) else JobOptions()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos, or of the video."""
        video = None if isinstance(self.message, Submit) else self.message.video
        return tuple(photo.name for photo in self.message.photos) if video is None else (video.name,)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the photos or the video, in order; a video may be in the client's own place."""
        if self.has_video:
            own = self.message.video.path
            return (Path(own) if own is not None else self.folder / "video",)
        return tuple(self.folder / f"photo_{number}" for number in range(len(self.message.photos)))

    @property
    def own_paths(self) -> tuple[Path, ...]:
        """Those of ``paths`` and ``identity_path`` in the server's folder, which are deleted with the job."""
        identity = self.identity_path
        candidates = self.paths if identity is None else (*self.paths, identity)
        return tuple(path for path in candidates if path.parent == self.folder)

    @property
    def has_video(self) -> bool:
        """Whether the job's input is a video."""
        return not isinstance(self.message, Submit) and self.message.video is not None

    @property
    def identity_path(self) -> Path | None:
        """Path of the neutral head that came with the job."""
        given = not isinstance(self.message, Submit) and self.message.identity
        return self.folder / "identity" if given else None

    @property
    def result_path(self) -> Path:
        """Path of the result, in ``frames`` format."""
        return self.folder / "result"
