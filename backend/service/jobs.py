"""The owner's jobs: their states, and the queue that passes them one at a time to the worker, a process of its own."""

import logging
import os
import queue
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import msgspec
import zmq

from backend.errors import DISK_FULL
from backend.progress import LOADING_SENTENCE, SHARES, STARTING, TRANSFER_SHARES, TimeLeft, sentence_for
from backend.service import messages
from backend.service.access import FOLDER_MODE, private_opener

EVENTS_ENDPOINT = "inproc://worker-events"
ENDED = "ended"
_SOURCE = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)
KEPT_BYTES = 600 * 2**20
"""Memory that a worker may keep between jobs, above that when it was ready; with more it is replaced."""
_LONGEST_PAUSE = 60.0
"""Largest pause in seconds between attempts to start a worker that does not become ready."""


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


@dataclass(frozen=True)
class JobError:
    """Why a job ended without a result."""

    code: str
    sentence: str
    advice: str = ""


@dataclass
class Job:
    """A job. Times are of the server's monotonic clock, in seconds.

    Attributes
    ----------
    listener : identity of the connection that gets its messages, None when that is gone.
    message : the request.
    folder : holds the photos or the video while the job is unfinished, and later the result.
    file_bytes, result_bytes : on the disk.
    position : as last sent to the listener, None before.
    started : when the worker got it, None while it waits.
    stop_by : when the worker is killed unless the job has stopped, None while it is not to be stopped.
    """

    id: str
    token: str
    listener: bytes | None
    message: messages.NewJob
    folder: Path
    file_bytes: int
    result_bytes: int = 0
    state: JobState = JobState.QUEUED
    stage: str = STARTING
    stage_fraction: float = 0.0
    time: TimeLeft = field(default_factory=lambda: TimeLeft(SHARES, 0.0))
    position: int | None = None
    started: float | None = None
    reported: float = 0.0
    stop_by: float | None = None
    finished: float | None = None
    error: JobError | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the job waits or runs."""
        return self.state in (JobState.QUEUED, JobState.RUNNING)

    @property
    def kind(self) -> JobKind:
        """What the job produces."""
        return JobKind.RECONSTRUCT if isinstance(self.message, messages.Submit) else JobKind.TRANSFER

    @property
    def options(self) -> messages.JobOptions:
        """The job's options; defaults for a transfer, which has none."""
        return self.message.options if isinstance(self.message, messages.Submit) else messages.JobOptions()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos, or of the video."""
        video = None if isinstance(self.message, messages.Submit) else self.message.video
        return tuple(photo.name for photo in self.message.photos) if video is None else (video.name,)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the photos or the video, in order; a video may be in the client's own place."""
        if self.has_video:
            client_path = self.message.video.path
            return (Path(client_path) if client_path is not None else self.folder / "video",)
        return tuple(self.folder / f"photo_{number}" for number in range(len(self.message.photos)))

    @property
    def cancelled(self) -> JobError:
        """Its error when it was cancelled."""
        what = "reconstruction" if self.kind is JobKind.RECONSTRUCT else "transfer"
        return JobError("cancelled", f"The {what} was cancelled.")

    def message_of(self, kind: str, **more: Any) -> dict[str, Any]:
        """A message about the job."""
        return {"type": kind, "job": self.id, "token": self.token, **more}

    @property
    def own_paths(self) -> tuple[Path, ...]:
        """Those of ``paths`` and ``identity_path`` in the server's folder, which are deleted with the job."""
        identity = self.identity_path
        candidates = self.paths if identity is None else (*self.paths, identity)
        return tuple(path for path in candidates if path.parent == self.folder)

    @property
    def has_video(self) -> bool:
        """Whether the job's input is a video."""
        return not isinstance(self.message, messages.Submit) and self.message.video is not None

    @property
    def identity_path(self) -> Path | None:
        """Path of the neutral head that came with the job."""
        has_identity = not isinstance(self.message, messages.Submit) and self.message.identity
        return self.folder / "identity" if has_identity else None

    @property
    def result_path(self) -> Path:
        """Path of the result, in ``frames`` format."""
        return self.folder / "result"


class WorkerProcess:
    """One worker. Its messages arrive as ``[generation, header, buffers…]`` at ``EVENTS_ENDPOINT``; the last one is
    ``{"type": "ended", "exit_code": N}`` when the process is gone.

    Parameters
    ----------
    context : of the socket that is bound to ``EVENTS_ENDPOINT``.
    generation : number that distinguishes this worker's events from those of others.
    runner : name of the module that does the work (see ``worker``).
    jobs : the server's folder of its jobs, which the worker removes when the server is killed.
    search_path : folders where modules are searched first.

    Attributes
    ----------
    ready : whether it has loaded everything. start_by : when it has to be.
    warm_memory : its bytes of memory then. broken : why it cannot become ready.
    """

    ready = False
    start_by = 0.0
    warm_memory = 0
    broken: JobError | None = None

    def __init__(
        self,
        context: zmq.Context,
        generation: int,
        runner: str,
        device: str,
        jobs: Path,
        search_path: Sequence[Path] = (),
    ) -> None:
        paths = [str(path) for path in (*search_path, _SOURCE)]
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join([*paths, environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.generation = generation
        self._context = context
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "backend.service.worker", runner, device, str(jobs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        _raise_oom_score(self._process.pid)
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"worker-{generation}", daemon=True)
        self._reader.start()
        threading.Thread(target=self._write, name=f"to-worker-{generation}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, header: Mapping[str, Any]) -> None:
        """Send the worker a message without waiting; if the worker is gone, its ``ended`` event follows."""
        self._outbox.put(msgspec.json.encode(header))

    def kill(self) -> None:
        """End the process at once; its ``ended`` event follows."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """Kill the process and wait for it."""
        self.kill()
        self._reader.join(timeout=5)

    def _write(self) -> None:
        """Forward messages to the worker, in a separate thread because a full pipe blocks."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            while (frame := self._outbox.get()) is not None:
                messages.write_frames(self._process.stdin, [frame])

    def _read(self) -> None:
        """Forward messages from the worker, in a separate thread."""
        assert self._process.stdout is not None and self._process.stdin is not None
        name = str(self.generation).encode()
        events = self._context.socket(zmq.PUSH)
        events.linger = 0
        try:
            events.connect(EVENTS_ENDPOINT)
            with suppress(OSError, messages.BrokenFramesError):
                while (frames := messages.read_frames(self._process.stdout)) is not None:
                    events.send_multipart([name, *frames])
            self.kill()  # it closed its end or sent an invalid message
            exit_code = self._process.wait()
            self._outbox.put(None)
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()
            events.linger = 1000
            events.send_multipart([name, msgspec.json.encode({"type": ENDED, "exit_code": exit_code})])
        except zmq.ContextTerminated:
            pass
        finally:
            events.close()


def _raise_oom_score(pid: int) -> None:
    """When memory runs out, let Linux kill the worker instead of the server or the user's Blender."""
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("900")


def _write_files(job: Job, buffers: Sequence[memoryview]) -> None:
    """Write a job's buffers: the last is a transfer's neutral head, each other a photo or a part of the video."""

    def write(path: Path, pieces: Sequence[memoryview]) -> None:
        with open(path, "wb", opener=private_opener) as file:
            file.writelines(pieces)

    if job.identity_path is not None:
        write(job.identity_path, buffers[-1:])
        buffers = buffers[:-1]
    if not job.has_video:
        for path, buffer in zip(job.paths, buffers, strict=True):
            write(path, [buffer])
    elif buffers:
        write(job.paths[0], buffers)


def _too_long(job: Job, limits: messages.Limits) -> JobError:
    minutes = limits.seconds_of(job.kind) / 60
    if job.kind is JobKind.TRANSFER:
        sentence, advice = "The transfer", "Cut the video into parts."
    else:
        sentence, advice = "The reconstruction", "Give fewer photos, or choose a lower quality or a smaller texture."
    return JobError("time_limit", f"{sentence} took longer than the limit of {minutes:.0f} minutes.", advice)


class JobListener(Protocol):
    """Receiver of messages about jobs."""

    def on_job_message(
        self, job: Job, header: Mapping[str, Any], buffers: Sequence[bytes] = (), may_be_lost: bool = False
    ) -> None:
        """Receive a message about an unfinished job."""

    def job_ended(self, job: Job) -> None:
        """Receive the end of a job: done, failed or cancelled."""


class Jobs:
    """All jobs of a server, oldest first. One runs, the others wait for it; finished ones are kept for a while.

    Parameters
    ----------
    folder : of their files; exclusive to this server.
    start_worker : starts the worker of a generation, numbered from 1.

    Attributes
    ----------
    facts : the worker's facts from when it became ready (``device``, ``models``); None before.
    """

    def __init__(
        self,
        folder: Path,
        start_worker: Callable[[int], WorkerProcess],
        limits: messages.Limits,
        timing: messages.Timing,
        listener: JobListener,
    ) -> None:
        self._folder, self._start_worker, self._limits, self._timing = folder, start_worker, limits, timing
        self._listener = listener
        self._jobs: dict[str, Job] = {}
        self.facts: Mapping[str, Any] | None = None
        self._worker: WorkerProcess | None = None
        self._generation = 0
        self._current: Job | None = None
        self._failed_starts = 0
        self._next_start = 0.0

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def unfinished(self) -> list[Job]:
        """The jobs that run or wait, in the order of their turns."""
        return [job for job in self if job.unfinished]

    def find(self, job: str | None, token: str | None) -> Job | None:
        """The job with that id, or that token; None if there is none."""
        return self._jobs.get(job or "") or next((one for one in self if one.token == token), None)

    def submit(self, connection: bytes, message: messages.NewJob, buffers: Sequence[memoryview]) -> Job:
        """Store a new job with its photos or its video, or return the one that already has this token.

        Raises ``ProtocolError`` ("queue_full", "disk").
        """
        known = self.find(None, message.token)
        if known is not None:
            known.listener = connection
            return known
        size = sum(buffer.nbytes for buffer in buffers)
        waiting = self.unfinished()
        if len(waiting) >= self._limits.queue or sum(job.file_bytes for job in waiting) + size > (
            self._limits.waiting_bytes
        ):
            advice = "Wait for them, or cancel one."
            raise messages.ProtocolError("queue_full", "Too many jobs wait already.", advice, message.request)
        identifier = secrets.token_hex(16)
        job = Job(identifier, message.token, connection, message, self._folder / identifier, size)
        while True:
            try:
                job.folder.mkdir(mode=FOLDER_MODE)
                _write_files(job, buffers)
                break
            except OSError as refused:
                error = refused
            shutil.rmtree(job.folder, ignore_errors=True)
            if error.errno not in DISK_FULL or not self._make_room():
                sentence = f"The server could not keep the files: {error.strerror}."
                advice = "Make room on the disk of the machine that computes."
                raise messages.ProtocolError("disk", sentence, advice, message.request) from error
        self._jobs[job.id] = job
        return job

    def cancel(self, job: Job, now: float) -> None:
        """Stop an unfinished job: at once while it waits, else by the worker; kill the worker if it does not stop."""
        if job is not self._current:
            self._finish(job, JobState.CANCELLED, now, job.cancelled)
        elif job.stop_by is None:
            job.stop_by = now + self._timing.cancel_grace
            self._tell_worker({"type": "cancel", "job": job.id})

    def received(self, job: Job) -> None:
        """Delete a finished job's result; the worker still makes hair and texture of its head."""
        shutil.rmtree(job.folder, ignore_errors=True)
        job.result_bytes = 0

    def forget(self, job: Job) -> None:
        """Delete a finished job, its result and all that the worker keeps of it."""
        shutil.rmtree(job.folder, ignore_errors=True)
        del self._jobs[job.id]
        self._tell_worker({"type": "forget", "token": job.token})

    def forget_heads(self) -> None:
        """Let the worker forget what it keeps of all jobs."""
        self._tell_worker({"type": "forget"})

    def _tell_worker(self, header: Mapping[str, Any]) -> None:
        if self._worker is not None:
            self._worker.send(header)

    def _expire(self, now: float) -> None:
        """Forget finished jobs that are too old or too many."""
        finished = sorted((job for job in self if job.finished is not None), key=lambda job: job.finished or 0.0)
        total = sum(job.result_bytes for job in finished)
        for position, job in enumerate(finished):
            old = now - (job.finished or 0.0) > self._limits.result_seconds
            last = position == len(finished) - 1
            too_many = len(finished) - position > self._limits.finished_jobs
            if old or too_many or (total > self._limits.result_bytes and not last):
                total -= job.result_bytes
                self.forget(job)

    def _make_room(self) -> bool:
        """Delete the oldest result; False when there is none."""
        results = [job for job in self if job.finished is not None and job.result_bytes > 0]
        if results:
            self.forget(min(results, key=lambda job: job.finished or 0.0))
        return bool(results)

    def maintain(self, now: float) -> None:
        """Enforce limits, start what can start, send positions and progress. Called often."""
        self._expire(now)
        self._enforce_times(now)
        waiting = self.unfinished()
        if self._worker is None and now >= self._next_start and (self._failed_starts == 0 or waiting):
            self._launch(now)
        if self._worker is not None and self._worker.ready and self._current is None and waiting:
            self._run(waiting[0], now)
        for position, job in enumerate(self.unfinished()):
            if job.position != position:
                if job.position is not None:
                    self._listener.on_job_message(job, job.message_of("queued", position=position))
                job.position = position
        self._repeat_progress(now)

    def _enforce_times(self, now: float) -> None:
        job = self._current
        if job is not None and job.stop_by is not None and now >= job.stop_by:
            _log.info("the worker did not stop by itself and is killed")
            self._end_worker()
            self._finish(job, JobState.CANCELLED, now, job.cancelled)
        elif job is not None and job.started is not None and now - job.started > self._limits.seconds_of(job.kind):
            self._end_worker()
            self._finish(job, JobState.FAILED, now, _too_long(job, self._limits))
        elif self._worker is not None and not self._worker.ready and now > self._worker.start_by:
            _log.warning("the worker did not become ready and is killed")
            self._end_worker()
            self._start_failed(now, None)

    def _launch(self, now: float) -> None:
        self._generation += 1
        try:
            self._worker = self._start_worker(self._generation)
            self._worker.start_by = now + self._timing.worker_start
        except OSError as error:
            _log.exception("the worker cannot be started")
            self._start_failed(now, JobError("internal", f"The worker process cannot be started: {error}."))

    def _start_failed(self, now: float, reason: JobError | None) -> None:
        """Schedule another attempt; fail the waiting jobs when the reason is known or this was not the first time."""
        self._failed_starts += 1
        self._next_start = now + min(2.0 ** (self._failed_starts - 1), _LONGEST_PAUSE)
        if reason is None and self._failed_starts < 2:
            return
        error = reason or JobError(
            "worker_died", "The worker process ends while it starts.", "Run: python -m backend doctor"
        )
        for job in self.unfinished():
            self._finish(job, JobState.FAILED, now, error)

    def _end_worker(self) -> None:
        """Kill the worker and ignore its further messages."""
        if self._worker is not None:
            self._worker.kill()
        self._worker = self._current = None

    def _run(self, job: Job, now: float) -> None:
        assert self._worker is not None
        self._current, job.state, job.started = job, JobState.RUNNING, now
        job.time = TimeLeft(TRANSFER_SHARES if job.kind is JobKind.TRANSFER else SHARES, now)
        task = {
            "job": job.id,
            "token": job.token,
            "kind": job.kind,
            "options": msgspec.to_builtins(job.options),
            "names": job.names,
            "paths": [str(path) for path in job.paths],
            "video": job.has_video,
            "identity": None if job.identity_path is None else str(job.identity_path),
            "result": str(job.result_path),
        }
        self._worker.send({"type": "task", "task": task})

    def _repeat_progress(self, now: float) -> None:
        """Send progress of the running job, or of the next one while models load, at least once per heartbeat."""
        job, worker = self._current, self._worker
        if job is None and (worker is None or not worker.ready):
            job = next(iter(self.unfinished()), None)
        if job is not None and now - job.reported > self._timing.heartbeat:
            self._tell_progress(job, now)

    def tell(self, job: Job, now: float) -> None:
        """Send an unfinished job's progress now, if there is any."""
        if job.state is JobState.RUNNING or job.stage != STARTING:
            self._tell_progress(job, now)

    def _tell_progress(self, job: Job, now: float) -> None:
        job.reported = now
        loading = job.stage == STARTING and (self._worker is None or not self._worker.ready)
        left = job.time.seconds_left(now)
        header = job.message_of(
            "progress",
            stage=job.stage,
            stage_fraction=job.stage_fraction,
            fraction=round(job.time.fraction, 4),
            seconds_left=None if left is None else round(left, 1),
            seconds=0.0 if job.started is None else round(now - job.started, 1),
            sentence=LOADING_SENTENCE if loading else sentence_for(job.stage),
        )
        self._listener.on_job_message(job, header, may_be_lost=True)

    def on_worker_event(self, generation: int, header: Mapping[str, Any], buffers: Sequence[bytes], now: float) -> None:
        """Handle an event of the worker; those of earlier workers are ignored."""
        worker, job, kind = self._worker, self._current, header["type"]
        if worker is None or generation != worker.generation:
            return
        if kind == "ready":
            worker.ready, self._failed_starts = True, 0
            self.facts = {"device": header["device"], "models": header["models"]}
            worker.warm_memory = header.get("memory", 0)
        elif kind == "idle":
            if job is None and header["memory"] > worker.warm_memory + KEPT_BYTES:
                _log.info("the worker has kept %d MiB and is replaced", header["memory"] // 2**20)
                self._end_worker()
        elif kind == "broken":
            worker.broken = JobError(header["code"], header["sentence"], header["advice"])
        elif kind == ENDED:
            self._worker_ended(worker, header["exit_code"], now)
        elif job is not None and header["job"] == job.id:
            self._on_job_event(job, kind, header, buffers, now)

    def _on_job_event(
        self, job: Job, kind: str, header: Mapping[str, Any], buffers: Sequence[bytes], now: float
    ) -> None:
        if kind == "progress":
            job.stage, job.stage_fraction = header["stage"], header["stage_fraction"]
            job.time.update(job.stage, job.stage_fraction, now)
            self._tell_progress(job, now)
        elif kind == "preview":
            self._listener.on_job_message(job, {**header, "token": job.token}, buffers, may_be_lost=True)
        elif kind == "done":
            self._end_current(JobState.DONE, now, None)
        elif kind == "failed":
            error = JobError(header["code"], header["sentence"], header["advice"])
            if error.code == "disk" and job.stop_by is None and self._make_room():
                # it runs again: an unfetched result, which has just been deleted, is worth less than a new one
                self._current, job.state, job.started = None, JobState.QUEUED, None
                return
            self._end_current(JobState.CANCELLED if error.code == "cancelled" else JobState.FAILED, now, error)
            if error.code == "out_of_memory":
                self._end_worker()  # because a new process has released all memory

    def _end_current(self, state: JobState, now: float, error: JobError | None) -> None:
        """End the running job; one that was told to stop is cancelled, even if it was too late to stop the work."""
        job, self._current = self._current, None
        assert job is not None
        if job.stop_by is not None or state is JobState.CANCELLED:
            state, error = JobState.CANCELLED, job.cancelled
        self._finish(job, state, now, error)

    def _worker_ended(self, worker: WorkerProcess, exit_code: int, now: float) -> None:
        _log.warning("the worker ended with exit code %s", exit_code)
        self._worker = None
        if self._current is not None:
            sentence = f"The process that computes crashed (exit code {exit_code})."
            if exit_code == -9:
                sentence = "The process that computes was killed, perhaps because memory ran out."
            advice = "Try again; if it happens again, close other programs or give fewer photos."
            self._end_current(JobState.FAILED, now, JobError("worker_died", sentence, advice))
        elif not worker.ready:
            self._start_failed(now, worker.broken)

    def _finish(self, job: Job, state: JobState, now: float, error: JobError | None) -> None:
        """Note a job's end; its input files are deleted, its result stays."""
        try:
            if state is JobState.DONE:
                job.result_bytes = os.path.getsize(job.result_path)
        except OSError:
            _log.exception("a result is not where it should be")
            state = JobState.FAILED
            error = JobError("disk", "The result could not be kept.", "Make room on the disk of the server.")
        job.state, job.error, job.finished, job.stop_by, job.file_bytes = state, error, now, None, 0
        for path in job.own_paths:
            with suppress(OSError):  # Windows: a worker being killed may still have it open
                path.unlink()
        if state is not JobState.DONE:
            shutil.rmtree(job.folder, ignore_errors=True)
        self._listener.job_ended(job)

    def kill_worker(self) -> None:
        """Kill the worker as if it had crashed: its job fails and a new one starts."""
        if self._worker is not None:
            self._worker.kill()

    def stop(self, now: float) -> None:
        """End the worker and every unfinished job."""
        worker = self._worker
        self._end_worker()
        stopped = JobError("stopped", "The server stops.", "Start it again and submit the pictures once more.")
        for job in self.unfinished():
            self._finish(job, JobState.FAILED, now, stopped)
        if worker is not None:
            worker.close()
