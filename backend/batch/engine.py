"""Shares people out among workers, does those again whose worker ended, and gives up those who take too long.

Workers are processes of this machine (``workers``, where their methods are described) or of a Ray cluster
(``ray_workers``).
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.batch.workers import WorkerEndedError
from backend.errors import LikenessError

MOST_DEATHS = 2
"""A person is given up after so many workers ended during it."""
_LOOK_SECONDS = 1.0
_ALONE = "Their photos may need more memory than there is; try them alone with: python -m backend reconstruct"
_STOP_SECONDS = 2.0
"""A stopped worker ends at its next progress report. After this time it is killed, because the user waits. Its partial
files are in a hidden folder, which the batch removes."""


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
    crew : a ``LocalCrew``, or a ``RayCrew`` that does the same. workers : their number.
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
        self._busy: dict[Any, _Turn | None] = {}  # None: it starts
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
