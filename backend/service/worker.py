"""The worker process: ``python -m backend.service.worker RUNNER DEVICE JOBS``, started by the server only.

When the server is gone, however it ended, the worker removes JOBS, the folder of that server's jobs, and ends at once.
It communicates in packed ``messages`` on its original standard input and output.
RUNNER is the name of a module with

- ``warm(device: str)``: loads what every job needs;
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
from backend.service.access import private_opener
from backend.service.messages import MOST_BYTES, RESULT_HEADER_BYTES, Task, pack, read_packed, unpack, write_packed
from backend.system.processes import keep_freed_memory, release_freed_memory

PROGRESS_SECONDS = 0.1
FIRST_TASK_SECONDS = 0.1
"""Time in which a waiting task arrives at a worker that has become ready."""
REMOVALS, REMOVAL_SECONDS = 5, 0.05
"""Attempts to remove the jobs, and the pause between them: one suffices unless a result is being written."""

REMOVAL_LIMIT = 5.0
"""Seconds after which a process without its server ends, however many files are left to remove."""


@dataclass(frozen=True)
class Instruction:
    """What the server wants: that a ``task`` is done, that the one in hand is cancelled (``cancel``), or that the job
    with the ``token`` is forgotten (all without one)."""

    task: Task | None = None
    cancel: bool = False
    token: str | None = None


class Channel:
    """Both directions to the server; sending is thread-safe."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._lock = threading.Lock()

    def send(self, header: dict[str, Any], buffers: tuple[bytes, ...] = ()) -> None:
        """Send one message. Raises ``OSError`` when the server is gone."""
        with self._lock:
            write_packed(self._outgoing, pack(header, buffers))

    def receive(self) -> Instruction | None:
        """The next instruction; None when the server is gone."""
        try:
            packed = read_packed(self._incoming)
            return None if packed is None else msgspec.convert(unpack(packed)[0], Instruction)
        except (ValueError, OSError):
            return None


class JobReporter:
    """A ``ProgressReporter`` that reports to the server and raises ``Cancelled`` when the job is cancelled."""

    def __init__(self, channel: Channel, token: str, cancelled: Callable[[], bool]) -> None:
        self._channel, self._token, self._cancelled = channel, token, cancelled
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
        self._channel.send({"type": "progress", "stage": stage, "fraction": done})

    def preview(self, stage: str, message: WireMessage) -> None:
        """Send a preview of the head; raises ``Cancelled``."""
        if self._cancelled():
            raise Cancelled
        self._previews += 1
        header = {"type": "preview", "token": self._token, "stage": stage, "number": self._previews, **message.header}
        self._channel.send(header, message.buffers)


class Worker:
    """Runs tasks one after the other while another thread receives from the server."""

    def __init__(self, channel: Channel, jobs: Path) -> None:
        self._channel, self._jobs = channel, jobs
        self._runner: Any = None
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._cancel = threading.Event()

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
            self._runner.warm(device)
        except BaseException as error:
            traceback.print_exc()
            explained = explain(error)
            self._channel.send({"type": "broken", **explained.fields()})
            raise SystemExit(1) from error
        self._channel.send({"type": "ready", "memory": resident_bytes() + self._runner.LATER_BYTES})
        self._load_until_a_task_comes(self._runner.later(device))
        while True:
            self._channel.send(self._outcome(self._tasks.get()))
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
                self._cancel.clear()  # of the task before, which has ended
                self._tasks.put(instruction.task)
            elif instruction.cancel:
                self._cancel.set()
            elif self._runner is not None:
                self._runner.forget(instruction.token)
        remove_jobs(self._jobs)  # the server is gone
        os._exit(0)  # without waiting for other threads

    def _outcome(self, task: Task) -> dict[str, Any]:
        """Run a task; returns its final message to the server."""
        report = JobReporter(self._channel, task.token, self._cancel.is_set)
        try:
            message = self._runner.run(task, report)
            _write_result(task, message)
        except BaseException as error:
            explained = explain(error)
            if explained.code == "internal":
                traceback.print_exc()
            return {"type": "failed", **explained.fields()}
        return {"type": "done"}


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
    """Write the complete result message to the task's file, which counts only once the job is done."""
    header = {"type": "result", "token": task.token, **message.header}
    packed = pack(header, message.buffers)
    if len(msgspec.json.encode(header)) > RESULT_HEADER_BYTES or len(packed) > MOST_BYTES:
        raise ValueError(f"the result has {len(packed)} bytes")
    with open(task.result, "wb", opener=private_opener) as file:
        write_packed(file, packed)


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
