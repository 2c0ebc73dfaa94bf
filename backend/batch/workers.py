"""Workers of a batch: what one needs, how many fit on this machine, and its processes (those of a cluster:
``ray_workers``). ``engine.py`` hires them."""

import multiprocessing
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.errors import Cancelled
from backend.system.processes import memory_bytes, usable_cores

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Environment variables for the number of threads of libraries, which read them when they are loaded."""
MEGABYTE = 1_000_000
WORKER_MEMORY_MB = {1024: 2200, 2048: 2600, 4096: 4700}
"""Memory of a worker by side of the texture: 10 % more than the peak with two people, each five photos of 10 megapixels
(docs/farm.md)."""
FREE_SHARE = 0.7
"""Part of a machine's memory that workers may have; Ray, too, counts on seven tenths."""
WORKERS_PER_GPU = 4
"""Networks on the GPU take a tenth of a person's time; everything else runs on the CPU. Estimated, not
measured on a card."""


class WorkerEndedError(Exception):
    """A worker's process has ended; the words say how."""


@dataclass(frozen=True)
class WorkerNeeds:
    """Resources of one worker: one core, memory in bytes, and a share of a GPU (0 to 1)."""

    memory: int
    gpu: float = 0.0

    def room(self, cores: float, memory: float, gpus: float) -> int:
        """Number of workers that fit on a machine with these cores, memory in bytes for tasks, and GPUs."""
        return int(min(cores, memory / self.memory, gpus / self.gpu if self.gpu else cores) + 1e-6)


def worker_needs(texture_sizes: Iterable[int], device: str, memory_mb: float | None = None) -> WorkerNeeds:
    """Resources of a worker for heads of all these texture sizes; ``memory_mb`` overrides the measured memory."""
    measured = max((WORKER_MEMORY_MB[size] for size in texture_sizes), default=max(WORKER_MEMORY_MB.values()))
    return WorkerNeeds(int((memory_mb or measured) * MEGABYTE), 1 / WORKERS_PER_GPU if device == "cuda" else 0.0)


def one_thread() -> None:
    """Use one thread, because there are as many workers as cores; called before libraries are loaded."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


def outcome_of(task: bytes, make: MakeHead, stopping: Any) -> bytes:
    """The ``Outcome`` of a ``Task``, both in JSON; "waiting" when the event ``stopping`` was set meanwhile."""

    def progress(stage: str, fraction: float) -> None:
        if stopping.is_set():
            raise Cancelled

    wanted = msgspec.json.decode(task, type=Task)
    try:
        outcome = make(wanted, progress)
    except Cancelled:
        outcome = Outcome(name=wanted.person.name, line=wanted.person.line, status="waiting")
    return msgspec.json.encode(outcome)


class LocalWorker:
    """A process of this machine that makes one person after the other and loads the models once."""

    def __init__(self, make: MakeHead) -> None:
        self._make = make
        self._processes = multiprocessing.get_context("spawn")
        self._stopping = self._processes.Event()
        self._process: Any = None

    def start(self) -> str:
        """Let it start (again), and wait until it is ready; a sentence why it cannot be used, or nothing.

        Raises ``WorkerEndedError``.
        """
        self._pipe, theirs = self._processes.Pipe()
        process = self._processes.Process(target=_work, args=(theirs, self._stopping, self._make))
        process.start()
        self._process = process  # ``kill`` asks one that runs
        theirs.close()
        return self._answer().decode()

    def make(self, task: bytes, seconds: float) -> bytes:
        """The ``Outcome`` of a ``Task``, "waiting" when it was stopped.

        Raises ``TimeoutError`` after so many seconds, ``WorkerEndedError`` when its process has ended.
        """
        with suppress(OSError):  # it has ended; ``_answer`` says so
            self._pipe.send_bytes(task)
        return self._answer(seconds)

    def stop(self) -> None:
        """Stop the running head at its next progress report."""
        self._stopping.set()

    def kill(self, for_good: bool = True) -> None:
        """End its process; after that it may ``start`` again. Ray alone has to know whether it is ``for_good``."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _answer(self, seconds: float | None = None) -> bytes:
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerEndedError(f"exit code {self._process.exitcode}") from error
        raise TimeoutError


def local_rooms(needs: WorkerNeeds) -> list[int]:
    """How many workers fit on each machine, here one; memory counts as unlimited where the system does not tell."""
    gpus = 0
    if needs.gpu:
        import torch

        gpus = torch.cuda.device_count()
    return [needs.room(usable_cores(), FREE_SHARE * memory_bytes(), gpus)]


def _work(pipe: Any, stopping: Any, make: MakeHead) -> None:
    """A worker's process: answers that it is ready, then makes people until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the batch handles Ctrl-C in the terminal
    one_thread()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"")
        while True:
            pipe.send_bytes(outcome_of(pipe.recv_bytes(), make, stopping))
