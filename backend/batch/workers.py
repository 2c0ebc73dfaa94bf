"""Workers of a batch: how many fit on a machine, processes of this machine, and the engine that shares people out.

``batch/command.py`` makes an ``Engine`` (the last class), which hires workers of this machine or of a cluster
(``ray_workers``). The engine makes a person again whose worker ended, and gives up one who takes too long.
"""

import multiprocessing
import os
import queue
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.errors import Cancelled, LikenessError
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
MOST_DEATHS = 2
"""A person is given up after so many workers ended during it."""
_LOOK_SECONDS = 1.0
"""Windows hears Ctrl-C between two looks; an answer is heard at once."""
_STOP_SECONDS = 2.0
"""A stopped worker ends at its next progress report. After this time it is killed, because the user waits. Its partial
files are in a hidden folder, which the batch removes."""
_GIVEN_UP = "Their photos may need more memory than there is; try them alone with: python -m backend reconstruct"


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


class Engine:
    """Yields one ``Outcome`` per task, in the order in which they end. Closing the iterator stops the work: a running
    head ends at its next progress report and leaves no partial files.

    Parameters
    ----------
    hire : ``LocalWorker``, or makes what has its four methods (start, make, stop, kill) on a cluster. Each has a thread
        here, which waits for it.
    workers : their number.
    limit : of time for one person, in seconds.
    notice : called with one sentence for the user at the terminal.
    """

    def __init__(self, hire: Any, workers: int, limit: float, notice: Callable[[str], None] = lambda _: None) -> None:
        self._hire, self._workers, self._time_limit, self._notice = hire, workers, limit, notice

    def __call__(self, tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]:
        """Do all tasks. Raises ``LikenessError`` when no worker can be kept running."""
        self._begun: Counter[str] = Counter()
        self._stopping = Event()
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        for task in tasks:
            self._waiting.put(task)
        workers = [self._hire(make) for _ in range(min(self._workers, len(tasks)))]
        threads = {worker: Thread(target=self._employ, args=(worker,), daemon=True) for worker in workers}
        try:
            for thread in threads.values():
                thread.start()
            left, usable = len(tasks), len(threads)
            while left:
                with suppress(queue.Empty):
                    ended = self._ended.get(timeout=_LOOK_SECONDS)
                    if isinstance(ended, Outcome):
                        left -= 1
                        yield ended
                    elif ended is not None:  # its person would be missing for ever
                        raise ended
                    elif not (usable := usable - 1):
                        sentence = "No worker could be kept running."
                        advice = "Try one person with --workers 1, which says more."
                        raise LikenessError("missing_part", sentence, advice)
        finally:
            self._stop(threads)

    def _employ(self, worker: Any) -> None:
        """Let a worker make one person after the other; it starts again where its process ends."""
        try:
            while not self._stopping.is_set():
                try:
                    unfit = worker.start()
                except (WorkerEndedError, OSError) as error:
                    unfit = f"A worker ended while it started ({error})."
                if unfit and not self._stopping.is_set():
                    self._notice(f"{unfit} It is not used.")
                    return
                while not self._stopping.is_set() and (task := self._waiting.get()) is not None:
                    if not self._has_made(worker, task):
                        worker.kill(for_good=False)
                        break
        except BaseException as error:
            self._ended.put(error)
        finally:
            self._ended.put(None)

    def _has_made(self, worker: Any, task: Task) -> bool:
        """Let a worker make a person; returns whether it can go on."""
        name = task.person.name
        self._begun[name] += 1
        try:
            said = worker.make(msgspec.json.encode(task), self._time_limit)
        except TimeoutError:
            reason = f"It took longer than {self._time_limit / 60:g} minutes and was stopped."
            self._give_up(task, reason, "Allow more with --time-limit.")
            return False
        except WorkerEndedError as error:
            if self._begun[name] < MOST_DEATHS:
                if not self._stopping.is_set():
                    self._notice(f"A worker ended while it made {name!r}, who is done again.")
                self._waiting.put(task)
            else:
                self._give_up(task, f"{MOST_DEATHS} workers ended while they made this person (the last one: {error}).")
            return False
        outcome = msgspec.json.decode(said, type=Outcome)
        self._ended.put(msgspec.structs.replace(outcome, attempts=self._begun[name]))
        return True

    def _give_up(self, task: Task, reason: str, advice: str = _GIVEN_UP) -> None:
        name, line, attempts = task.person.name, task.person.line, self._begun[task.person.name]
        said = {"code": "internal", "reason": reason, "advice": advice, "attempts": attempts}
        self._ended.put(Outcome(name=name, line=line, status="failed", **said))

    def _stop(self, threads: dict[Any, Thread]) -> None:
        """End all workers; those with a person get time to clean up."""
        self._stopping.set()
        for worker in threads:
            worker.stop()
            self._waiting.put(None)
        until = time.monotonic() + _STOP_SECONDS
        for worker, thread in threads.items():
            with suppress(RuntimeError):  # it has not started
                thread.join(max(until - time.monotonic(), 0.0))
            worker.kill()
        for worker, thread in threads.items():
            while thread.is_alive():  # it may have been starting its process again
                worker.kill()
                thread.join(_STOP_SECONDS / 20)
