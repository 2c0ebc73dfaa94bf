"""What the worker runs: reconstructions and transfers (see ``worker`` for the interface)."""

from __future__ import annotations

from typing import Any

from backend.exchange.wire_buffers import WireMessage
from backend.service import reconstruct_runner, transfer_runner
from backend.service.worker import JobReporter, LoadingReporter, Task


def warm(device: str, loaded: LoadingReporter) -> dict[str, Any]:
    """Load what every job needs; see ``reconstruct_runner.warm``."""
    return reconstruct_runner.warm(device, loaded)


def run(task: Task, report: JobReporter) -> WireMessage:
    """One job. Raises ``LikenessError``."""
    return transfer_runner.run(task, report) if task.kind == "transfer" else reconstruct_runner.run(task, report)
