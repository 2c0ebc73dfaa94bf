"""Automatic stop of a server: after an idle time, or when its owner has left and nobody else uses it."""

from __future__ import annotations

import hmac
import logging
import math
import time

from backend.service.connections import Connections
from backend.service.discovery import process_runs
from backend.service.job_book import JobBook
from backend.service.job_queue import JobQueue
from backend.service.settings import ServerSettings

_log = logging.getLogger(__name__)
_PARENT_SECONDS = 0.5
"""Seconds between checks of the parent process."""


class Lifetime:
    """Tracks the server's owner and other users.

    The owner is the process ``parent`` and the connections that sent the owner's token. Once the owner has left, the
    server continues while other connections exist or wait for a job.
    """

    def __init__(self, settings: ServerSettings, connections: Connections, book: JobBook, queue: JobQueue) -> None:
        self._settings, self._connections, self._book, self._queue = settings, connections, book, queue
        self._owners: set[bytes] = set()
        self._left: str | None = None
        self._used_by_others = -math.inf
        self._active = self._parent_seen = time.monotonic()

    def heard(self, now: float) -> None:
        """Note a message as activity."""
        self._active = now

    def owns(self, token: str) -> bool:
        """Whether ``token`` is the owner's."""
        owner = self._settings.owner_token
        return owner is not None and hmac.compare_digest(owner.encode(), token.encode())

    def on_owner_connected(self, identity: bytes) -> None:
        """Note a connection of the owner."""
        self._owners.add(identity)

    def on_owner_left(self, reason: str, now: float) -> bool:
        """The owner has left. Returns whether the server stays for others; then the owner's jobs are cancelled.

        ``reason`` is returned by ``reason_to_stop``, now or after the others have left.
        """
        self._left = reason
        if not self._has_others():
            return False
        _log.info("the owner has left (%s); others use the server, and it stays until they have left too", reason)
        for job in [job for job in self._book if job.unfinished and job.listener in self._owners]:
            self._queue.cancel(job, now)
        return True

    def reason_to_stop(self, now: float) -> str | None:
        """``idle``, ``parent`` or ``shutdown`` when the server has to stop, else None; called often."""
        idle, parent = self._settings.idle_exit, self._settings.parent
        if self._queue.busy:
            self._active = now
        if idle is not None and now - self._active > idle:
            return "idle"
        if self._left is None and parent is not None and now - self._parent_seen > _PARENT_SECONDS:
            self._parent_seen = now
            if not process_runs(parent):
                self.on_owner_left("parent", now)
        if self._left is None:
            return None
        if self._has_others():
            self._used_by_others = now
        return self._left if now - self._used_by_others > self._settings.timing.return_seconds else None

    def _has_others(self) -> bool:
        return any(connection.identity not in self._owners for connection in self._connections) or any(
            job.unfinished and job.listener not in self._owners for job in self._book
        )
