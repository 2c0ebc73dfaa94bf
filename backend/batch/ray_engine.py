"""The engine on Ray: a fixed number of workers, replaced when they die, with their people done again.

Ray places the workers, detects the end of a process or a machine, and finds room for a replacement. This module only
decides which person comes next, and when to give one up.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from backend.batch.capacity import WorkerNeeds
from backend.batch.engine import MakeHead
from backend.batch.make_head import Task
from backend.batch.outcome import Outcome
from backend.batch.ray_cluster import lives
from backend.batch.ray_worker import Ready, Worker
from backend.batch.stamp import Stamp
from backend.errors import LikenessError

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
