"""Workers of a batch: how many fit on a machine, and processes of this machine."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.errors import Cancelled
from backend.progress import ProgressReporter
from backend.system.processes import memory_bytes

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Environment variables for the number of threads of libraries, which read them when they are loaded."""
MEGABYTE = 1_000_000
WORKER_MEMORY_MB = {1024: 2200, 2048: 2600, 4096: 4700}
"""Memory of a worker by side of the texture: 10 % more than the peak with two people, each five photos of 10 megapixels
(docs/farm.md)."""
FREE_SHARE = 0.7
"""Part of a machine's memory that workers may have; Ray leaves as much to everything else."""
WORKERS_PER_GPU = 4
"""Networks on the GPU take a tenth of a person's time; everything else runs on the CPU."""


class WorkerEndedError(Exception):
    """A worker's process has ended; the words say how."""


@dataclass(frozen=True)
class WorkerNeeds:
    """Resources of one worker: one core, memory in bytes, and a share of a GPU (0 to 1)."""

    memory: int
    gpu: float = 0.0


@dataclass(frozen=True)
class Machine:
    """Resources of a machine: cores, memory in bytes for tasks, GPUs."""

    cores: float
    memory: float
    gpus: float = 0.0

    def room(self, needs: WorkerNeeds) -> int:
        """Number of workers that fit on it."""
        fitting = [self.cores, self.memory / needs.memory]
        if needs.gpu:
            fitting.append(self.gpus / needs.gpu)
        return int(min(fitting) + 1e-6)


def worker_needs(texture_sizes: Iterable[int], device: str, memory_mb: float | None = None) -> WorkerNeeds:
    """Resources of a worker for heads of all these texture sizes; ``memory_mb`` overrides the measured memory."""
    measured = max((WORKER_MEMORY_MB[size] for size in texture_sizes), default=max(WORKER_MEMORY_MB.values()))
    return WorkerNeeds(int((memory_mb or measured) * MEGABYTE), 1 / WORKERS_PER_GPU if device == "cuda" else 0.0)


def one_thread() -> None:
    """Use one thread, because there are as many workers as cores. Libraries read the environment when they are loaded;
    those already loaded are set directly."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    if "numba" in sys.modules:
        sys.modules["numba"].set_num_threads(1)


def made(task: bytes, make: MakeHead, progress: ProgressReporter) -> bytes:
    """The ``Outcome`` of a ``Task``, both in JSON; "waiting" when ``progress`` stopped it."""
    wanted = msgspec.json.decode(task, type=Task)
    name = wanted.person.name
    try:
        outcome = make(wanted, progress)
    except Cancelled:
        outcome = Outcome(name=name, status="waiting")
    except Exception as error:
        reason = f"Something went wrong inside Likeness ({type(error).__name__}: {error})."
        outcome = Outcome(name=name, status="failed", code="internal", reason=reason, detail=traceback.format_exc())
    return msgspec.json.encode(outcome)


class LocalWorker:
    """A process of this machine that makes one person after the other and loads the models once."""

    def __init__(self, make: MakeHead) -> None:
        self._make = make
        self._process: Any = None

    def start(self) -> None:
        """Let it start (again). It answers when it is ready: a sentence why it cannot be used, or nothing."""
        processes = multiprocessing.get_context("spawn")
        self.line, theirs = processes.Pipe()
        self._stopping = processes.Event()
        self._process = processes.Process(target=_work, args=(theirs, self._stopping, self._make))
        self._process.start()
        theirs.close()

    def make(self, task: bytes) -> None:
        """Begin a ``Task``; the answer is its ``Outcome``, "waiting" when it was stopped."""
        try:
            self.line.send_bytes(task)
        except OSError:  # it has ended; ``answer`` says so
            return

    def answer(self) -> bytes:
        """The answer, once ``LocalCrew.wait`` names it. Raises ``WorkerEndedError`` when its process has ended."""
        try:
            return self.line.recv_bytes()
        except (EOFError, OSError) as error:
            self._process.join()
            raise WorkerEndedError(f"exit code {self._process.exitcode}") from error

    def stop(self) -> None:
        """Stop the running head at its next progress report."""
        self._stopping.set()

    def kill(self, for_good: bool = True) -> None:
        """End its process; after that it may ``start`` again unless ``for_good``."""
        self._process.kill()
        self._process.join()
        self.line.close()


class LocalCrew:
    """Workers on this machine, whose networks run on ``cpu`` or ``cuda``."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def machines(self) -> Sequence[Machine]:
        """What there is to run them on; memory is unlimited where the system does not tell."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        gpus = 0
        if self._device == "cuda":
            import torch

            gpus = torch.cuda.device_count()
        return [Machine(cores, FREE_SHARE * memory_bytes(), gpus)]

    def hire(self, make: MakeHead) -> LocalWorker:
        """A worker that has not started."""
        return LocalWorker(make)

    def wait(self, workers: Sequence[LocalWorker], seconds: float) -> Sequence[LocalWorker]:
        """Those that have answered or ended; waits for the first at most so long."""
        ready = wait([worker.line for worker in workers], seconds)
        return [worker for worker in workers if worker.line in ready]


def _work(line: Any, stopping: Any, make: MakeHead) -> None:
    """A worker's process: answers that it is ready, then makes people until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the batch handles Ctrl-C in the terminal
    one_thread()

    def progress(stage: str, fraction: float) -> None:
        if stopping.is_set():
            raise Cancelled

    try:
        line.send_bytes(b"")
        while True:
            line.send_bytes(made(line.recv_bytes(), make, progress))
    except (EOFError, OSError):
        return
