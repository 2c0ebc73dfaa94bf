"""Interface of an engine: it makes people's heads and yields each outcome once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from backend.batch.make_head import Task
from backend.batch.outcome import Outcome
from backend.progress import ProgressReporter

MakeHead = Callable[[Task, ProgressReporter], Outcome]
"""``make_head``, or its replacement in a test."""


class Engine(Protocol):
    """Yields one ``Outcome`` per task, in the order in which they end.

    Closing the iterator stops the work: a running head ends at its next progress report and leaves no partial files.
    """

    def __call__(self, tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]: ...
