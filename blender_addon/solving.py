"""Solve expressions from pictures with the session's runner, borrowed for one transfer."""

from __future__ import annotations

from collections.abc import Generator

from .backend_process.local_backend import LocalBackend
from .client.events import ExpressionsReceived
from .client.keys import ServerAddress
from .client.submissions import Transfer
from .errors import AddonError
from .runner import JobView, Phase
from .session import session
from .transfer.clips import ExpressionClip


def solved(job: Transfer, backend: LocalBackend | ServerAddress) -> Generator[JobView, None, ExpressionClip]:
    """Yield the progress of the transfer, return its result; closing the generator early cancels the job.

    Raises ``AddonError`` with the backend's message, or ``busy``.
    """
    current = session()
    runner = current.lend_runner()
    try:
        runner.begin(job, backend)
        while True:
            for event in runner.tick():
                if isinstance(event, ExpressionsReceived):
                    return event.clip
            view = runner.view
            if not view.phase.busy:
                sentence = view.sentence if view.phase is Phase.FAILED else "The transfer was cancelled."
                raise AddonError(sentence, view.advice, view.code or "cancelled")
            yield view
    finally:
        runner.cancel()
        current.return_runner()
