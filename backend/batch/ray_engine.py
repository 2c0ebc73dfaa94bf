"""The engine on Ray: a fixed number of workers, replaced when they die, with their people done again.

Ray places the workers, detects the end of a process or a machine, and finds room for a replacement. This module only
decides which person comes next, and when to give one up.

Connection to a Ray cluster: a private one on this machine's loopback, or a running one.

A worker on Ray: a process that does one person after the other and loads the models once.
"""

from __future__ import annotations

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
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found.append(Machine(has.get("CPU", 0.0), has.get("memory", 0.0), has.get("GPU", 0.0)))
    return found


def lives(node_id: str) -> bool:
    """Whether the machine is still alive in the cluster."""
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


CONTROL = "control"


class Ready(msgspec.Struct, frozen=True):
    """A worker's first answer. ``unfit`` : a sentence, when its version of Likeness is not that of the run."""

    worker: str
    node: str
    unfit: str = ""


@ray.remote(concurrency_groups={CONTROL: 1}, max_restarts=0, max_task_retries=0)
class Worker:
    """Its methods take and return JSON. ``stop`` may be called while ``make`` runs."""

    def __init__(self, make: MakeHead) -> None:
        self._make = make
        self._stopping = threading.Event()

    def ready(self, stamp: bytes) -> bytes:
        """A ``Ready``; raises ``OSError`` when this machine's Likeness cannot be read."""
        _one_thread()
        worker = f"{platform.node()}:{os.getpid()}"
        own = current_stamp()
        unfit = ""
        if own != msgspec.json.decode(stamp, type=Stamp):
            what = "another version of Likeness, or of a package that it computes with,"
            unfit = f"{platform.node()} has {what} than the machine that the batch was started on."
        return msgspec.json.encode(Ready(worker, ray.get_runtime_context().get_node_id(), unfit))

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
"""A person is given up after so many workers ended during it on machines that are still alive."""
MOST_LOST_MACHINES = 5
"""A person is given up after so many workers ended during it on any machines."""
MOST_FALSE_STARTS = 3
"""A worker that ended so many times in a row before its first person is not replaced."""
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


@dataclass
class _Slot:
    """Place of one worker: the current one, and how many ended in a row before their first person."""

    actor: Any
    false_starts: int = 0
    ready: Ready | None = None


@dataclass(frozen=True)
class _Turn:
    """A worker that makes a person, with its start (``time.monotonic``)."""

    slot: _Slot
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
        self._make = make
        self._waiting = deque(tasks)
        self._starting: dict[Any, _Slot] = {}
        self._turns: dict[Any, _Turn] = {}
        self._idle: deque[_Slot] = deque()
        self._died_on: dict[str, list[str]] = {}  # person -> machines whose workers died during it
        self._begun: Counter[str] = Counter()
        for _ in range(min(self._plan.workers, len(tasks))):
            self._start(_Slot(None))
        try:
            while self._waiting or self._turns:
                self._hand_out()
                yield from self._ended()
                yield from self._too_long()
            return
        finally:
            self._stop()

    def _start(self, slot: _Slot) -> None:
        slot.actor, slot.ready = Worker.options(**self._options).remote(self._make), None
        self._starting[slot.actor.ready.remote(msgspec.json.encode(self._plan.stamp))] = slot

    def _hand_out(self) -> None:
        if not (self._idle or self._starting or self._turns):
            sentence = "No worker could be kept running; none of them reached its first person."
            raise LikenessError("missing_part", sentence, "Try one person with --workers 1, which says more.")
        while self._waiting and self._idle:
            slot, task = self._idle.popleft(), self._waiting.popleft()
            self._begun[task.person.name] += 1
            self._turns[slot.actor.make.remote(msgspec.json.encode(task))] = _Turn(slot, task, self._now())

    def _ended(self) -> Iterator[Outcome]:
        """Wait briefly for workers that are ready, done or dead."""
        ended, _ = ray.wait([*self._turns, *self._starting], num_returns=1, timeout=_LOOK_SECONDS)
        for reference in ended:
            if reference in self._starting:
                self._came(reference)
            else:
                yield from self._finished(reference)

    def _came(self, reference: Any) -> None:
        """Handle a worker that has started, or failed to."""
        slot = self._starting.pop(reference)
        try:
            slot.ready = msgspec.json.decode(ray.get(reference), type=Ready)
        except RayError as error:
            slot.false_starts += 1
            again = slot.false_starts < MOST_FALSE_STARTS
            self._notice(
                f"A worker ended before its first person{'' if again else ' and is not replaced'} ({_summary(error)})."
            )
            if again:
                self._start(slot)
            return
        if slot.ready.unfit:
            self._notice(f"{slot.ready.unfit} It is not used.")
            ray.kill(slot.actor)
            return
        self._idle.append(slot)

    def _finished(self, reference: Any) -> Iterator[Outcome]:
        turn = self._turns.pop(reference)
        name = turn.task.person.name
        try:
            outcome = msgspec.json.decode(ray.get(reference), type=Outcome)
        except RayTaskError as error:
            outcome = self._failure(name, f"Something went wrong inside Likeness ({_summary(error)}).", str(error))
        except RayError as error:
            yield from self._died(turn, error)
            return
        turn.slot.false_starts = 0
        self._idle.append(turn.slot)
        yield msgspec.structs.replace(outcome, attempts=self._begun[name])

    def _died(self, turn: _Turn, error: RayError) -> Iterator[Outcome]:
        """Replace a dead worker; do its person again, or give it up after too many deaths."""
        name, ready = turn.task.person.name, turn.slot.ready
        assert ready is not None
        died_on = self._died_on.setdefault(name, [])
        died_on.append(ready.node)
        self._start(turn.slot)
        # The end of a machine is known some seconds after that of its workers, so earlier deaths are judged now.
        if sum(map(lives, died_on)) < MOST_DEATHS and len(died_on) < MOST_LOST_MACHINES:
            self._notice(f"The worker {ready.worker} ended while it made {name!r}, who is done again.")
            self._waiting.append(turn.task)
            return
        often = f"{len(died_on)} workers ended while they made this person"
        yield self._failure(name, f"{often} (the last one: {_summary(error)}).")

    def _too_long(self) -> Iterator[Outcome]:
        for reference, turn in list(self._turns.items()):
            if self._now() - turn.began > self._plan.time_limit:
                del self._turns[reference]
                ray.kill(turn.slot.actor)
                self._start(turn.slot)
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
            turn.slot.actor.stop.remote()
        if self._turns:
            ray.wait(list(self._turns), num_returns=len(self._turns), timeout=_STOP_SECONDS)
        slots = [*self._starting.values(), *self._idle, *(turn.slot for turn in self._turns.values())]
        for slot in slots:
            with suppress(RayError):
                ray.kill(slot.actor)


def _summary(error: BaseException) -> str:
    """The most informative line of a Ray error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in lines if "The worker died" in line or "node" in line.lower()), None)
    return (told or (lines or [type(error).__name__])[0]).rstrip(".")
