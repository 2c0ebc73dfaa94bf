"""The engine of a batch, which shares people out among workers of this machine or of a cluster.

``batch/command.py`` makes an ``Engine``, which makes a person again whose worker ended, and gives up one who takes too
long.
"""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any

import msgspec

from backend.batch.make_head import MakeHead, Task
from backend.batch.records import Outcome
from backend.batch.workers import WorkerEndedError
from backend.errors import LikenessError

MOST_DEATHS = 2
"""A person is given up after so many workers ended during it."""
_LOOK_SECONDS = 1.0
"""Windows hears Ctrl-C between two looks; an answer is heard at once."""
_STOP_SECONDS = 2.0
"""A stopped worker ends at its next progress report. After this time it is killed, because the user waits. Its partial
files are in a hidden folder, which the batch removes."""
_GIVEN_UP = "Their photos may need more memory than there is; try them alone with: python -m backend reconstruct"


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
