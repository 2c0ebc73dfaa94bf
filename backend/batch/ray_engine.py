"""The engine on Ray: a fixed number of workers, restarted when they die, with their people done again.

Ray places the workers, detects the end of a process or a machine, and restarts its workers where there is room. This
module only decides which person comes next, and when to give one up.

Connection to a Ray cluster: a private one on this machine's loopback, or a running one.

A worker on Ray: a process that does one person after the other and loads the models once.
"""

import logging
import os
import platform
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome, Stamp, current_stamp
from backend.batch.resources import SINGLE_THREAD_ENVIRONMENT, Machine, WorkerNeeds
from backend.errors import Cancelled, LikenessError

_STORE_BYTES = 100 * 2**20
"""Ray's shared memory. People and outcomes have a kilobyte each; Ray's minimum is 75 MiB."""

_SHORT = "/tmp" if os.name == "posix" else None
"""Parent of the private cluster's folder; short, because paths of its sockets are limited to some hundred letters."""


@contextmanager
def cluster(address: str | None, cores: int | None = None) -> Iterator[None]:
    """Connect to a Ray cluster, as a context; enter ``ray_environment`` before.

    Parameters
    ----------
    address : of a running cluster, or None to start a private one that ends with the context. cores : of the private
        one, all of the machine's if None.

    Raises
    ------
    LikenessError : "usage" when there is no cluster at ``address``, "internal" when none could be started.
    """
    with tempfile.TemporaryDirectory(prefix="likeness-", dir=_SHORT, ignore_cleanup_errors=True) as private:
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cores,
                    object_store_memory=_STORE_BYTES,
                    include_dashboard=False,
                    _temp_dir=private,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                )
            else:
                ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
        except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
            words = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            if address is None:
                advice = "Use --workers 1 to do without it."
                raise LikenessError("internal", f"Ray could not be started: {words}.", advice) from error
            advice = "Check --address, and that the key is the cluster's (docs/farm.md)."
            raise LikenessError("usage", f"No Ray cluster answers at {address}: {words}.", advice) from error
        try:
            yield
        finally:
            ray.shutdown()


def machines() -> list[Machine]:
    """The cluster's live machines."""
    nodes = []
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            nodes.append(Machine(has.get("CPU", 0.0), has.get("memory", 0.0), has.get("GPU", 0.0)))
    return nodes


CONTROL = "control"
MOST_FALSE_STARTS = 3
"""A worker that ended so many times in a row before it could take a person is not used."""


@ray.remote(concurrency_groups={CONTROL: 1}, max_restarts=-1, max_task_retries=MOST_FALSE_STARTS - 1)
class Worker:
    """Its methods take and return JSON. ``stop`` may be called while ``make`` runs. Ray restarts it when its process or
    machine ends; what it made then is not repeated by Ray."""

    def __init__(self, make: MakeHead) -> None:
        _one_thread()
        self._make = make
        self._stopping = threading.Event()

    def unfit(self, stamp: bytes) -> str:
        """A sentence when this machine's Likeness is not that of the run, else "". Raises ``OSError`` when it cannot be
        read."""
        if current_stamp() == msgspec.json.decode(stamp, type=Stamp):
            return ""
        what = "another version of Likeness, or of a package that it computes with,"
        return f"{platform.node()} has {what} than the machine that the batch was started on."

    @ray.method(max_task_retries=0)
    def make(self, task: bytes) -> bytes:
        """The ``Outcome`` of a ``Task``; "waiting" when it was stopped."""
        wanted = msgspec.json.decode(task, type=Task)
        try:
            outcome = self._make(wanted, self._progress)
        except Cancelled:
            outcome = Outcome(name=wanted.person.name, status="waiting")
        return msgspec.json.encode(outcome)

    @ray.method(concurrency_group=CONTROL)
    def stop(self) -> None:
        """Stop the running head at its next progress report."""
        self._stopping.set()

    def _progress(self, stage: str, fraction: float) -> None:
        if self._stopping.is_set():
            raise Cancelled


def _one_thread() -> None:
    """Use one thread, because there are as many workers as cores. Libraries read the environment when they are loaded;
    those already loaded are set directly."""
    os.environ.update(SINGLE_THREAD_ENVIRONMENT)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
    if "numba" in sys.modules:
        sys.modules["numba"].set_num_threads(1)


MOST_DEATHS = 2
"""A person is given up after so many workers ended during it."""
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 2.0
"""A stopped worker ends at its next progress report. After this time it is killed, because the user waits. Its partial
files are in a hidden folder, which the batch removes."""


@dataclass(frozen=True)
class RayPlan:
    """Number of workers, resources of each, time limit for one person in seconds, and the run's ``Stamp``."""

    workers: int
    needs: WorkerNeeds
    time_limit: float
    stamp: Stamp


@dataclass(frozen=True)
class _Turn:
    """A worker that makes a person, with its start (``time.monotonic``)."""

    worker: Any
    task: Task
    began: float


class RayEngine:
    """An ``Engine`` on the cluster that this process is connected to.

    Parameters
    ----------
    notice : called with one sentence for the user at the terminal.
    now : the clock, in seconds.
    """

    def __init__(
        self, plan: RayPlan, notice: Callable[[str], None] = lambda _: None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan, self._notice, self._now = plan, notice, now
        self._options = {"num_cpus": 1, "memory": plan.needs.memory, "num_gpus": plan.needs.gpu}

    def __call__(self, tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]:
        """See ``Engine``. Raises ``LikenessError`` when no worker can be started."""
        self._waiting = deque(tasks)
        self._starting: dict[Any, Any] = {}
        self._turns: dict[Any, _Turn] = {}
        self._idle: deque[Any] = deque()
        self._begun: Counter[str] = Counter()
        for _ in range(min(self._plan.workers, len(tasks))):
            self._await(Worker.options(**self._options).remote(make))
        try:
            while self._waiting or self._turns:
                self._hand_out()
                yield from self._ended()
                yield from self._too_long()
        finally:
            self._stop()

    def _await(self, worker: Any) -> None:
        """Wait until the worker runs (again), before it gets a person: Ray may find no room for it for long."""
        self._starting[worker.unfit.remote(msgspec.json.encode(self._plan.stamp))] = worker

    def _hand_out(self) -> None:
        if not (self._idle or self._starting or self._turns):
            sentence = "No worker could be kept running; none of them reached its first person."
            raise LikenessError("missing_part", sentence, "Try one person with --workers 1, which says more.")
        while self._waiting and self._idle:
            worker, task = self._idle.popleft(), self._waiting.popleft()
            self._begun[task.person.name] += 1
            self._turns[worker.make.remote(msgspec.json.encode(task))] = _Turn(worker, task, self._now())

    def _ended(self) -> Iterator[Outcome]:
        """Wait briefly for workers that are ready, done or dead."""
        ended, _ = ray.wait([*self._turns, *self._starting], num_returns=1, timeout=_LOOK_SECONDS)
        for reference in ended:
            if reference in self._starting:
                self._came(reference, self._starting.pop(reference))
            else:
                yield from self._finished(reference, self._turns.pop(reference))

    def _came(self, reference: Any, worker: Any) -> None:
        """Handle a worker that has started, or failed to."""
        try:
            unfit = ray.get(reference)
        except RayError as error:
            unfit = f"A worker ended before its first person ({_summary(error)})."
        if not unfit:
            self._idle.append(worker)
            return
        self._notice(f"{unfit} It is not used.")
        ray.kill(worker)

    def _finished(self, reference: Any, turn: _Turn) -> Iterator[Outcome]:
        name = turn.task.person.name
        try:
            outcome = msgspec.json.decode(ray.get(reference), type=Outcome)
        except RayTaskError as error:
            outcome = self._failure(name, f"Something went wrong inside Likeness ({_summary(error)}).", str(error))
        except RayError as error:
            self._await(turn.worker)
            if self._begun[name] < MOST_DEATHS:
                self._notice(f"A worker ended while it made {name!r}, who is done again.")
                self._waiting.append(turn.task)
                return
            often = f"{MOST_DEATHS} workers ended while they made this person"
            yield self._failure(name, f"{often} (the last one: {_summary(error)}).")
            return
        self._idle.append(turn.worker)
        yield msgspec.structs.replace(outcome, attempts=self._begun[name])

    def _too_long(self) -> Iterator[Outcome]:
        for reference, turn in list(self._turns.items()):
            if self._now() - turn.began > self._plan.time_limit:
                del self._turns[reference]
                ray.kill(turn.worker, no_restart=False)
                self._await(turn.worker)
                minutes = self._plan.time_limit / 60
                yield self._failure(turn.task.person.name, f"It took longer than {minutes:g} minutes and was stopped.")

    def _failure(self, name: str, reason: str, detail: str = "") -> Outcome:
        advice = "Their photos may need more memory than there is; try them alone with: python -m backend reconstruct"
        return Outcome(
            name=name,
            status="failed",
            code="internal",
            reason=reason,
            advice=advice,
            detail=detail,
            attempts=self._begun[name],
        )

    def _stop(self) -> None:
        """End all workers; busy ones get time to clean up."""
        for turn in self._turns.values():
            turn.worker.stop.remote()
        if self._turns:
            ray.wait(list(self._turns), num_returns=len(self._turns), timeout=_STOP_SECONDS)
        for worker in [*self._starting.values(), *self._idle, *(turn.worker for turn in self._turns.values())]:
            with suppress(RayError):
                ray.kill(worker)


def _summary(error: BaseException) -> str:
    """The most informative line of a Ray error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = next((line for line in lines if "The worker died" in line or "node" in line.lower()), None)
    return (message or (lines or [type(error).__name__])[0]).rstrip(".")
