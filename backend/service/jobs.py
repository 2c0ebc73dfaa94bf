"""The owner's jobs: their states, and the queue that passes them one at a time to the worker, a process of its own."""

import hashlib
import logging
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from backend.errors import DISK_FULL, LikenessError
from backend.progress import LOADING_SENTENCE, SHARES, STARTING, TRANSFER_SHARES, TimeLeft, sentence_for
from backend.service import messages
from backend.service.access import FOLDER_MODE, private_opener
from backend.service.messages import ProtocolError

EVENTS_ENDPOINT = "inproc://worker-events"
MOST_EVENTS = 1000
"""Of a worker that wait for the server, on each side; then the worker waits."""
ENDED = "ended"
_SOURCE = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)
KEPT_BYTES = 600 * 2**20
"""Memory that a worker may keep between jobs, above that when it was ready; with more it is replaced."""
_LONGEST_PAUSE = 60.0
"""Largest pause in seconds between attempts to start a worker. One that is idle and ends sooner died early."""
MOST_EARLY_DEATHS = 3
"""After so many in a row the jobs that wait fail, and without a job the worker is not started again."""


@dataclass
class Job:
    """A job; its client knows it by ``task.token``. Times are of the server's monotonic clock, in seconds.

    Attributes
    ----------
    listener : identity of the connection that gets its messages.
    folder : holds the photos or the video while the job is unfinished, and later the result.
    file_bytes, result_bytes : on the disk.
    position : as last sent to the listener, None before.
    started : when the worker got it, None while it waits.
    stop_by : when the worker is killed unless the job has stopped, None while it is not to be stopped.
    finished : when it ended, None while it waits or runs. error : why it ended without a result.
    """

    listener: bytes
    task: messages.Task
    folder: Path
    file_bytes: int
    result_bytes: int = 0
    stage: str = STARTING
    time: TimeLeft = field(default_factory=lambda: TimeLeft(SHARES, 0.0))
    position: int | None = None
    started: float | None = None
    reported: float = 0.0
    stop_by: float | None = None
    finished: float | None = None
    error: LikenessError | None = None

    @property
    def is_transfer(self) -> bool:
        """Whether it makes expressions; else it makes a head."""
        return self.task.kind == "transfer"

    @property
    def cancelled(self) -> ProtocolError:
        """Its error when it was cancelled."""
        return ProtocolError("cancelled", f"The {'transfer' if self.is_transfer else 'reconstruction'} was cancelled.")

    def message_of(self, kind: str, **more: Any) -> dict[str, Any]:
        """A message about the job."""
        return {"type": kind, "token": self.task.token, **more}


class WorkerProcess:
    """One worker. Its messages arrive as ``[generation, packed]`` at ``EVENTS_ENDPOINT``; the last one is
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
    ready, ready_at : whether it has loaded everything, and since when. start_by : when it has to be.
    warm_memory : its bytes of memory then.
    """

    ready = False
    ready_at = start_by = 0.0
    warm_memory = 0

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

    def send(self, **instruction: Any) -> None:
        """Send an ``Instruction`` without waiting; if the worker is gone, its ``ended`` event follows."""
        self._outbox.put(messages.pack(instruction))

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
            while (packed := self._outbox.get()) is not None:
                messages.write_packed(self._process.stdin, packed)

    def _read(self) -> None:
        """Forward messages from the worker, in a separate thread."""
        assert self._process.stdout is not None and self._process.stdin is not None
        name = str(self.generation).encode()
        events = self._context.socket(zmq.PUSH)
        events.linger, events.sndhwm = 0, MOST_EVENTS
        try:
            events.connect(EVENTS_ENDPOINT)
            with suppress(OSError, ValueError):
                while (packed := messages.read_packed(self._process.stdout)) is not None:
                    events.send_multipart([name, packed])
            self.kill()  # it closed its end or sent an invalid message
            exit_code = self._process.wait()
            self._outbox.put(None)
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    pipe.close()
            events.linger = 1000
            events.send_multipart([name, messages.pack({"type": ENDED, "exit_code": exit_code})])
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
    task = job.task

    def write(path: str, pieces: Sequence[memoryview]) -> None:
        with open(path, "wb", opener=private_opener) as file:
            file.writelines(pieces)

    if task.identity is not None:
        write(task.identity, buffers[-1:])
        buffers = buffers[:-1]
    if not task.video:
        for path, buffer in zip(task.paths, buffers, strict=True):
            write(path, [buffer])
    elif buffers:
        write(task.paths[0], buffers)


def _too_long(job: Job, limits: messages.Limits) -> ProtocolError:
    minutes = limits.seconds_of(job.task.kind) / 60
    if job.is_transfer:
        sentence, advice = "The transfer", "Cut the video into parts."
    else:
        sentence, advice = "The reconstruction", "Give fewer photos, or choose a lower quality or a smaller texture."
    return ProtocolError("time_limit", f"{sentence} took longer than the limit of {minutes:.0f} minutes.", advice)


def _no_start(how: str) -> ProtocolError:
    return ProtocolError("worker_died", f"The worker process {how}.", "Run: python -m backend doctor")


def _error_of(header: Mapping[str, Any]) -> ProtocolError:
    return ProtocolError(header["code"], header["sentence"], header["advice"])


class Jobs:
    """All jobs of a server, oldest first. One runs, the others wait for it; finished ones are kept for a while.

    Parameters
    ----------
    folder : of their files; exclusive to this server.
    start_worker : starts the worker of a generation, numbered from 1.
    send : sends a message, header and buffers, to a job's listener; the last argument is whether it may be lost.
    ended : receives a job at its end.
    """

    def __init__(
        self,
        folder: Path,
        start_worker: Callable[[int], WorkerProcess],
        limits: messages.Limits,
        timing: messages.Timing,
        send: Callable[[Job, Mapping[str, Any], Sequence[memoryview], bool], None],
        ended: Callable[[Job], None],
    ) -> None:
        self._folder, self._start_worker, self._limits, self._timing = folder, start_worker, limits, timing
        self._send, self._ended = send, ended
        self._jobs: dict[str, Job] = {}
        self._worker: WorkerProcess | None = None
        self._generation = 0
        self._current: Job | None = None
        self._early_deaths = 0
        self._next_start = 0.0

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def unfinished(self) -> list[Job]:
        """The jobs that run or wait, in the order of their turns."""
        return [job for job in self if job.finished is None]

    def find(self, token: str) -> Job | None:
        """The job with that token; None if there is none."""
        return self._jobs.get(token)

    def submit(self, connection: bytes, message: messages.NewJob, buffers: Sequence[memoryview]) -> Job:
        """Store a new job with its photos or its video, or return the one that already has this token.

        Raises ``ProtocolError`` ("queue_full", "disk").
        """
        if (known := self.find(message.token)) is not None:
            known.listener = connection
            return known
        size = sum(buffer.nbytes for buffer in buffers)
        waiting = self.unfinished()
        bytes_then = size + sum(job.file_bytes for job in waiting)
        if len(waiting) >= self._limits.queue or bytes_then > self._limits.waiting_bytes:
            raise ProtocolError("queue_full", "Too many jobs wait already.", "Wait for them, or cancel one.")
        # a token is no name of a file everywhere: letters' case, CON
        folder = self._folder / hashlib.sha256(message.token.encode()).hexdigest()[:32]
        job = Job(connection, messages.task_of(message, folder), folder, size)
        shutil.rmtree(folder, ignore_errors=True)  # an earlier job's of this token, which could not go
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
                raise ProtocolError("disk", sentence, "Make room on the disk of the machine that computes.") from error
        self._jobs[message.token] = job
        return job

    def cancel(self, job: Job, now: float) -> None:
        """Stop an unfinished job: at once while it waits, else by the worker; kill the worker if it does not stop."""
        if job is not self._current:
            self._finish(job, now, job.cancelled)
        elif job.stop_by is None:
            job.stop_by = now + self._timing.cancel_grace
            self.tell_worker(cancel=True)

    def received(self, job: Job) -> None:
        """Delete a finished job's result; the worker still makes hair and texture of its head."""
        shutil.rmtree(job.folder, ignore_errors=True)
        job.result_bytes = 0

    def forget(self, job: Job) -> None:
        """Delete a finished job, its result and all that the worker keeps of it."""
        shutil.rmtree(job.folder, ignore_errors=True)
        del self._jobs[job.task.token]
        self.tell_worker(token=job.task.token)

    def tell_worker(self, **instruction: Any) -> None:
        """Send an ``Instruction`` where there is a worker; an empty one lets it forget all heads."""
        if self._worker is not None:
            self._worker.send(**instruction)

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
        if self._worker is None and now >= self._next_start and (self._early_deaths < MOST_EARLY_DEATHS or waiting):
            self._launch(now)
        if self._worker is not None and self._worker.ready and self._current is None and waiting:
            self._run(waiting[0], now)
        for position, job in enumerate(self.unfinished()):
            if job.position != position:
                if job.position is not None:
                    self._send(job, job.message_of("queued", position=position), (), False)
                job.position = position
        self._repeat_progress(now)

    def _enforce_times(self, now: float) -> None:
        job = self._current
        if job is not None and job.stop_by is not None and now >= job.stop_by:
            _log.info("the worker did not stop by itself and is killed")
            self._end_worker()
            self._finish(job, now, job.cancelled)
        elif job is not None and job.started is not None and now - job.started > self._limits.seconds_of(job.task.kind):
            self._end_worker()
            self._finish(job, now, _too_long(job, self._limits))
        elif self._worker is not None and not self._worker.ready and now > self._worker.start_by:
            _log.warning("the worker did not become ready and is killed")
            self._end_worker()
            self._start_failed(now, _no_start(f"did not start within {self._timing.worker_start:.0f} seconds"))

    def _launch(self, now: float) -> None:
        self._generation += 1
        try:
            self._worker = self._start_worker(self._generation)
            self._worker.start_by = now + self._timing.worker_start
        except OSError as error:
            _log.exception("the worker cannot be started")
            self._start_failed(now, ProtocolError("internal", f"The worker process cannot be started: {error}."))

    def _start_failed(self, now: float, reason: LikenessError | None) -> None:
        """Schedule another attempt; fail what waits when the reason is known or ``MOST_EARLY_DEATHS`` have come."""
        self._early_deaths += 1
        self._next_start = now + min(2.0 ** (self._early_deaths - 1), _LONGEST_PAUSE)
        if reason is None and self._early_deaths < MOST_EARLY_DEATHS:
            return
        reason = reason or _no_start(f"ended {self._early_deaths} times in a row")
        _log.warning("%s", reason)
        for job in self.unfinished():
            self._finish(job, now, reason)

    def _end_worker(self) -> None:
        """Kill the worker and ignore its further messages."""
        self.kill_worker()
        self._worker = self._current = None

    def _run(self, job: Job, now: float) -> None:
        self._current, job.started, self._early_deaths = job, now, 0
        job.time = TimeLeft(TRANSFER_SHARES if job.is_transfer else SHARES, now)
        self.tell_worker(task=job.task)

    def _repeat_progress(self, now: float) -> None:
        """Send progress of the running job, or of the next one while models load, at least once per heartbeat."""
        job, worker = self._current, self._worker
        if job is None and (worker is None or not worker.ready):
            job = next(iter(self.unfinished()), None)
        if job is not None and now - job.reported > self._timing.heartbeat:
            self._tell_progress(job, now)

    def tell(self, job: Job, now: float) -> None:
        """Send an unfinished job's progress now, if there is any."""
        if job.started is not None or job.stage != STARTING:
            self._tell_progress(job, now)

    def _tell_progress(self, job: Job, now: float) -> None:
        job.reported = now
        loading = job.stage == STARTING and (self._worker is None or not self._worker.ready)
        left = job.time.seconds_left(now)
        header = job.message_of(
            "progress",
            stage=job.stage,
            fraction=round(job.time.fraction, 4),
            seconds_left=None if left is None else round(left, 1),
            sentence=LOADING_SENTENCE if loading else sentence_for(job.stage),
        )
        self._send(job, header, (), True)

    def on_worker_event(self, generation: int, packed: bytes, now: float) -> None:
        """Handle an event of the worker; those of earlier workers are ignored."""
        worker, job = self._worker, self._current
        if worker is None or generation != worker.generation:
            return
        header, buffers = messages.unpack(packed)
        kind = header["type"]
        if kind == "ready":
            worker.ready, worker.ready_at, worker.warm_memory = True, now, header["memory"]
        elif kind == "idle":
            if job is None and header["memory"] > worker.warm_memory + KEPT_BYTES:
                _log.info("the worker has kept %d MiB and is replaced", header["memory"] // 2**20)
                self._end_worker()
        elif kind == "broken":
            self._end_worker()  # which may hang instead of ending
            self._start_failed(now, _error_of(header))
        elif kind == ENDED:
            self._worker_ended(worker, header["exit_code"], now)
        elif job is not None:
            self._on_job_event(job, kind, header, buffers, now)

    def _on_job_event(
        self, job: Job, kind: str, header: Mapping[str, Any], buffers: Sequence[memoryview], now: float
    ) -> None:
        if kind == "progress":
            job.stage = header["stage"]
            job.time.update(job.stage, header["fraction"], now)
            self._tell_progress(job, now)
        elif kind == "preview":
            self._send(job, header, buffers, True)
        elif kind == "done":
            self._end_current(now, None)
        elif kind == "failed":
            error = _error_of(header)
            if error.code == "disk" and job.stop_by is None and self._make_room():
                # it runs again: an unfetched result, which has just been deleted, is worth less than a new one
                self._current = job.started = None
                return
            self._end_current(now, error)
            if error.code == "out_of_memory":
                self._end_worker()  # because a new process has released all memory

    def _end_current(self, now: float, error: LikenessError | None) -> None:
        """End the running job; one that was told to stop is cancelled, even if it was too late to stop the work."""
        job, self._current = self._current, None
        assert job is not None
        stopped = job.stop_by is not None or (error is not None and error.code == "cancelled")
        self._finish(job, now, job.cancelled if stopped else error)

    def _worker_ended(self, worker: WorkerProcess, exit_code: int, now: float) -> None:
        _log.warning("the worker ended with exit code %s", exit_code)
        self._worker = None
        if self._current is not None:
            sentence = f"The process that computes crashed (exit code {exit_code})."
            if exit_code == -9:
                sentence = "The process that computes was killed, perhaps because memory ran out."
            advice = "Try again; if it happens again, close other programs or give fewer photos."
            self._end_current(now, ProtocolError("worker_died", sentence, advice))
        elif not worker.ready or now - worker.ready_at < _LONGEST_PAUSE:
            self._start_failed(now, None)
        else:
            self._early_deaths = 0

    def _finish(self, job: Job, now: float, error: LikenessError | None) -> None:
        """Note a job's end; its input files are deleted, its result stays."""
        try:
            if error is None:
                job.result_bytes = os.path.getsize(job.task.result)
        except OSError:
            _log.exception("a result is not where it should be")
            error = ProtocolError("disk", "The result could not be kept.", "Make room on the disk of the server.")
        job.error, job.finished, job.stop_by, job.file_bytes = error, now, None, 0
        if error is not None:
            shutil.rmtree(job.folder, ignore_errors=True)
        for path in set(job.folder.glob("*")) - {Path(job.task.result)}:
            with suppress(OSError):  # Windows: another program may look at it
                path.unlink()
        self._ended(job)

    def kill_worker(self) -> None:
        """Kill the worker as if it had crashed: its job fails and a new one starts."""
        if self._worker is not None:
            self._worker.kill()

    def stop(self, now: float) -> None:
        """End the worker and every unfinished job."""
        worker = self._worker
        self._end_worker()
        stopped = ProtocolError("stopped", "The server stops.", "Start it again and submit the pictures once more.")
        for job in self.unfinished():
            self._finish(job, now, stopped)
        if worker is not None:
            worker.close()
