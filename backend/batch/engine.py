"""What an engine is: something that does people's heads and tells each outcome once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from backend.batch.make_head import Task
from backend.batch.outcome import Outcome
from backend.progress import ProgressReporter

MakeHead = Callable[[Task, ProgressReporter], Outcome]
"""``make_head``, or what stands for it in a test."""


class Engine(Protocol):
    """Yields one ``Outcome`` per task, in the order in which they end.

    Closing the iterator stops the work: what is under way ends as soon as it reports progress, and leaves nothing
    half-written.
    """

    def __call__(self, tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]: ...
