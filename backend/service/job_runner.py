"""The worker's runner for reconstructions and transfers (see ``worker`` for the interface)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from backend.exchange.buffers import WireMessage
from backend.service import reconstruct_runner
from backend.service.worker import JobReporter, LoadingReporter, Task

_TRANSFERS = "backend.service.transfer_runner"
"""Imported with the first transfer, so that a first reconstruction does not wait for it."""
LATER_BYTES = reconstruct_runner.LATER_BYTES


def warm(device: str, loaded: LoadingReporter) -> dict[str, Any]:
    """Load what every job needs; see ``reconstruct_runner.warm``."""
    return reconstruct_runner.warm(device, loaded)


def later(device: str) -> tuple[Callable[[], object], ...]:
    """Loaders to run while no job waits; see ``reconstruct_runner.later``."""
    return (*reconstruct_runner.later(device), partial(import_module, _TRANSFERS))


def run(task: Task, report: JobReporter) -> WireMessage:
    """Run one job. Raises ``LikenessError``."""
    if task.kind == "transfer":
        return import_module(_TRANSFERS).run(task, report)
    return reconstruct_runner.run(task, report)
