"""The engine without Ray: one person after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from backend.batch.engine import MakeHead
from backend.batch.make_head import Task
from backend.batch.outcome import Outcome
from backend.progress import silent


def run_here(tasks: Sequence[Task], make: MakeHead) -> Iterator[Outcome]:
    """An ``Engine``. If a person's photos crash the process, the run ends; a second run continues."""
    for task in tasks:
        yield msgspec.structs.replace(make(task, silent), attempts=1)
