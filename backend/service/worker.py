"""The worker process: ``python -m backend.service.worker RUNNER DEVICE JOBS``, started by the server only.

When the server is gone, however it ended, the worker removes JOBS, the folder of that server's jobs, and ends at once.
It communicates in ``frames`` on its original standard input and output.
RUNNER is the name of a module with

- ``warm(device: str) -> dict``: loads what every job needs, and returns ``{"device": {…}, "models": {…}}``;
- ``later(device: str)``: loaders of one thing each that a job needs later. They run while there is no job, as a job
  loads what is missing beside its work; ``LATER_BYTES`` is the memory of all of it;
- ``run(task: Task, report: JobReporter) -> WireMessage``: runs one job. It raises ``LikenessError`` for errors that the
  user can act on;
- ``forget(token: str | None)``: drops all that is kept of the job with that token, or of all jobs; from another thread.
"""

import importlib
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from backend.errors import Cancelled, explain
from backend.exchange.buffers import WireMessage
from backend.service import messages
from backend.service.access import private_opener
from backend.system.processes import keep_freed_memory, release_freed_memory

PROGRESS_SECONDS = 0.1
FIRST_TASK_SECONDS = 0.1
"""Time in which a waiting task arrives at a worker that has become ready."""
REMOVALS, REMOVAL_SECONDS = 5, 0.05
"""Attempts to remove the jobs, and the pause between them: one suffices unless a result is being written."""

REMOVAL_LIMIT = 5.0
"""Seconds after which a process without its server ends, however many files are left to remove."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the worker receives it.

    kind : ``reconstruct`` or ``transfer`` (``JobKind``). names, paths : of the photos, or of one ``video``.
    identity : file with the neutral head of a transfer, ``<f4`` (V, 3); None: it is solved from the pictures.
    """

    job: str
    token: str
    kind: str
    options: messages.JobOptions
    names: tuple[str, ...]
    paths: tuple[str, ...]
    result: str
    video: bool = False
    identity: str | None = None


@dataclass(frozen=True)
class Instruction:
    """A message from the server: a ``task``, the id of a ``job`` to cancel, or the ``token`` of one to forget (all
    without one)."""

    type: str
    task: Task | None = None
    job: str | None = None
    token: str | None = None


class Channel:
    """Both directions to the server; sending is thread-safe."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, header: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
        """Send one message. Raises ``OSError`` when the server is gone."""
        with self._lock:
            messages.write_frames(self._outgoing, [msgspec.json.encode(header), *buffers])

    def receive(self) -> Instruction | None:
        """The next instruction; None when the server is gone."""
        try:
            frames = messages.read_frames(self._incoming)
        except (messages.BrokenFramesError, OSError):
            return None
        return None if frames is None else msgspec.json.decode(frames[0], type=Instruction)


class JobReporter:
    """A ``ProgressReporter`` that reports to the server and raises ``Cancelled`` when the job is cancelled."""

    def __init__(self, channel: Channel, task: Task, cancelled: Callable[[], bool]) -> None:
        self._channel, self._job, self._cancelled = channel, task.job, cancelled
        self._last_report: tuple[str, float] = ("", 0.0)
        self._previews = 0

    def __call__(self, stage: str, fraction: float) -> None:
        """Report progress; raises ``Cancelled``."""
        if self._cancelled():
            raise Cancelled
        now = time.monotonic()
        if stage == self._last_report[0] and fraction < 1 and now - self._last_report[1] < PROGRESS_SECONDS:
            return
        self._last_report = (stage, now)
        done = round(min(max(fraction, 0.0), 1.0), 4)
        self._channel.send({"type": "progress", "job": self._job, "stage": stage, "stage_fraction": done})

    def preview(self, stage: str, message: WireMessage) -> None:
        """Send a preview of the head; raises ``Cancelled``."""
        if self._cancelled():
            raise Cancelled
        self._previews += 1
        header = {"type": "preview", "job": self._job, "stage": stage, "number": self._previews, **message.header}
        self._channel.send(header, message.buffers)


class Worker:
    """Runs tasks one after the other while another thread receives from the server."""

    def __init__(self, channel: Channel, jobs: Path) -> None:
        self._channel, self._jobs = channel, jobs
        self._runner: Any = None
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._cancelled: set[str] = set()

    def work(self, runner: str, device: str) -> None:
        """Load the runner, warm up, then run tasks until the server is gone. Never returns normally."""
        keep_freed_memory()
        listener = threading.Thread(target=self._listen, name="listener", daemon=True)
        listener.start()
        try:
            self._work(runner, device)
        except OSError as error:  # the server is gone; the listener removes the jobs and ends this process
            listener.join(REMOVAL_LIMIT)
            raise SystemExit(1) from error

    def _work(self, runner: str, device: str) -> None:
        try:
            self._runner = importlib.import_module(runner)
            facts = self._runner.warm(device)
        except BaseException as error:
            traceback.print_exc()
            explained = explain(error)
            self._channel.send({"type": "broken", **explained.fields()})
            raise SystemExit(1) from error
        self._channel.send({"type": "ready", **facts, "memory": resident_bytes() + self._runner.LATER_BYTES})
        self._load_until_a_task_comes(self._runner.later(device))
        while True:
            task = self._tasks.get()
            self._channel.send(self._outcome(task))
            self._cancelled.discard(task.job)
            release_freed_memory()
            self._channel.send({"type": "idle", "memory": resident_bytes()})

    def _load_until_a_task_comes(self, loaders: Sequence[Callable[[], object]]) -> None:
        until = time.monotonic() + FIRST_TASK_SECONDS
        while self._tasks.empty() and time.monotonic() < until:
            time.sleep(0.005)
        for load in loaders:
            if not self._tasks.empty():
                return
            try:
                load()
            except Exception:  # the job that needs it will fail and report it
                traceback.print_exc()

    def _listen(self) -> None:
        while (instruction := self._channel.receive()) is not None:
            if instruction.task is not None:
                self._tasks.put(instruction.task)
            elif instruction.job is not None:
                self._cancelled.add(instruction.job)
            elif self._runner is not None:
                self._runner.forget(instruction.token)
        remove_jobs(self._jobs)  # the server is gone
        os._exit(0)  # without waiting for other threads

    def _outcome(self, task: Task) -> dict[str, Any]:
        """Run a task; returns its final message to the server."""
        report = JobReporter(self._channel, task, lambda: task.job in self._cancelled)
        try:
            message = self._runner.run(task, report)
            _write_result(task, message)
        except BaseException as error:
            explained = explain(error)
            if explained.code == "internal":
                traceback.print_exc()
            return {"type": "failed", "job": task.job, **explained.fields()}
        return {"type": "done", "job": task.job}


def remove_jobs(folder: Path) -> None:
    """Remove a folder with photos and results, even if another thread adds a file meanwhile; never raises."""
    for _ in range(REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(REMOVAL_SECONDS)


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def _write_result(task: Task, message: WireMessage) -> None:
    """Write the complete result message to the task's file, atomically."""
    header = msgspec.json.encode({"type": "result", "job": task.job, "token": task.token, **message.header})
    if len(header) > messages.RESULT_HEADER_BYTES:
        raise ValueError(f"the result's header has {len(header)} bytes")
    path = Path(task.result)
    temporary = path.with_name("result.part")
    try:
        with open(temporary, "wb", opener=private_opener) as file:
            messages.write_frames(file, [header, *message.buffers])
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, path)


def _take_over_pipes() -> Channel:
    """Turn standard input and output into the channel; later prints go to standard error."""
    if sys.platform == "win32":
        import msvcrt

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return Channel(os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb"))


def main(arguments: list[str]) -> None:
    """Work until the server is gone."""
    channel = _take_over_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C in the terminal
    logging.basicConfig(level=logging.WARNING, format="worker: %(message)s")
    runner, device, jobs = arguments
    Worker(channel, Path(jobs)).work(runner, device)


if __name__ == "__main__":
    main(sys.argv[1:])
