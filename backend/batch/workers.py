"""Workers of a batch: how many fit on a machine, processes of this machine, and the engine that shares people out.

``batch/command.py`` makes an ``Engine`` (the last class) with a crew, which hires workers: a ``LocalCrew`` of this
machine or a ``RayCrew`` of a cluster (``ray_workers``). The engine makes a person again whose worker ended, and gives
up one who takes too long.
"""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.errors import Cancelled, LikenessError
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
"""Networks on the GPU take a tenth of a person's time; everything else runs on the CPU. Estimated, not
measured on a card."""
MOST_DEATHS = 2
"""A person is given up after so many workers ended during it."""
_LOOK_SECONDS = 1.0
"""Between two looks at who takes too long; an answer is heard at once."""
_STOP_SECONDS = 2.0
"""A stopped worker ends at its next progress report. After this time it is killed, because the user waits. Its partial
files are in a hidden folder, which the batch removes."""
_ALONE = "Their photos may need more memory than there is; try them alone with: python -m backend reconstruct"


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


def outcome_of(task: bytes, make: MakeHead, progress: ProgressReporter) -> bytes:
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
        """End its process; after that it may ``start`` again. Ray alone has to know whether it is ``for_good``."""
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
            line.send_bytes(outcome_of(line.recv_bytes(), make, progress))
    except (EOFError, OSError):
        return


@dataclass(frozen=True)
class _Turn:
    """A person that a worker makes, with its start (``time.monotonic``)."""

    task: Task
    began: float


class Engine:
    """Yields one ``Outcome`` per task, in the order in which they end. Closing the iterator stops the work: a running
    head ends at its next progress report and leaves no partial files.

    Parameters
    ----------
    crew : a ``LocalCrew`` or a ``RayCrew``, which hires workers with the methods of ``LocalWorker``. A worker's first
        answer after ``start`` says that it is ready (nothing), or why it cannot be used (a sentence: a machine of the
        cluster with other code); each later one is the ``Outcome`` of its task.
    workers : their number.
    time_limit : for one person, in seconds.
    notice : called with one sentence for the user at the terminal.
    """

    def __init__(
        self, crew: Any, workers: int, time_limit: float, notice: Callable[[str], None] = lambda _: None
    ) -> None:
        self._crew, self._workers, self._time_limit, self._notice = crew, workers, time_limit, notice

    def __call__(self, tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]:
        """Do all tasks. Raises ``LikenessError`` when no worker can be started."""
        self._waiting = deque(tasks)
        self._busy: dict[Any, _Turn | None] = {}  # None: it is starting and has nobody yet
        self._idle: deque[Any] = deque()
        self._begun: Counter[str] = Counter()
        try:
            for _ in range(min(self._workers, len(tasks))):
                self._start(self._crew.hire(make))
            while self._waiting or any(self._busy.values()):
                self._hand_out()
                for worker in self._crew.wait(list(self._busy), _LOOK_SECONDS):
                    yield from self._answered(worker, self._busy.pop(worker))
                yield from self._too_long()
        finally:
            self._stop()

    def _start(self, worker: Any) -> None:
        """Let it start; until it is ready it gets nobody, because Ray may find no room for it for long."""
        worker.start()
        self._busy[worker] = None

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            worker, task = self._idle.popleft(), self._waiting.popleft()
            self._begun[task.person.name] += 1
            self._busy[worker] = _Turn(task, time.monotonic())
            worker.make(msgspec.json.encode(task))
        if not self._busy:
            sentence = "No worker could be kept running; none of them reached its first person."
            raise LikenessError("missing_part", sentence, "Try one person with --workers 1, which says more.")

    def _answered(self, worker: Any, turn: _Turn | None) -> Iterator[Outcome]:
        try:
            said = worker.answer()
        except WorkerEndedError as error:
            if turn is None:
                self._notice(f"A worker ended while it started ({error}). It is not used.")
                worker.kill()
                return
            self._start(worker)
            name = turn.task.person.name
            if self._begun[name] < MOST_DEATHS:
                self._notice(f"A worker ended while it made {name!r}, who is done again.")
                self._waiting.append(turn.task)
            else:
                often = f"{MOST_DEATHS} workers ended while they made this person"
                yield self._failure(name, f"{often} (the last one: {error}).")
            return
        if turn is None and said:
            self._notice(f"{said.decode()} It is not used.")
            worker.kill()
            return
        self._idle.append(worker)
        if turn is not None:
            outcome = msgspec.json.decode(said, type=Outcome)
            yield msgspec.structs.replace(outcome, attempts=self._begun[turn.task.person.name])

    def _too_long(self) -> Iterator[Outcome]:
        for worker, turn in list(self._busy.items()):
            if turn is not None and time.monotonic() - turn.began > self._time_limit:
                worker.kill(for_good=False)
                self._start(worker)
                reason = f"It took longer than {self._time_limit / 60:g} minutes and was stopped."
                yield self._failure(turn.task.person.name, reason, "Allow more with --time-limit.")

    def _failure(self, name: str, reason: str, advice: str = _ALONE) -> Outcome:
        attempts = self._begun[name]
        return Outcome(name=name, status="failed", code="internal", reason=reason, advice=advice, attempts=attempts)

    def _stop(self) -> None:
        """End all workers; those with a person get time to clean up."""
        until = time.monotonic() + _STOP_SECONDS
        running = [worker for worker, turn in self._busy.items() if turn is not None]
        for worker in running:
            worker.stop()
        while running and (left := until - time.monotonic()) > 0:
            for worker in self._crew.wait(running, left):
                running.remove(worker)
        for worker in [*self._busy, *self._idle]:
            with suppress(WorkerEndedError):
                worker.kill()
