"""Delivery of a job's messages to its listener; results are sent one at a time per connection."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from backend.service.answers import job_error, result_follows, with_request
from backend.service.connections import Connection, Connections
from backend.service.frames import BrokenFramesError, read_frames
from backend.service.job import Job, JobError
from backend.service.job_book import JobBook

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _WaitingResult:
    """A result to be sent once the connection has received the previous one."""

    identity: bytes
    job: str
    request: str | None


class Listeners:
    """The ``QueueListener`` of the job queue: forwards each job's messages to its listener."""

    def __init__(self, connections: Connections, book: JobBook) -> None:
        self._connections, self._book = connections, book
        self._waiting: list[_WaitingResult] = []

    @property
    def wait_for_results(self) -> bool:
        """Whether a result still has to be sent."""
        return bool(self._waiting)

    def on_job_message(self, job: Job, header: Mapping[str, Any], buffers: Sequence[bytes], may_be_lost: bool) -> None:
        """Forward a message about a job to its listener."""
        connection = self._connections.find(job.listener, job.client)
        if connection is not None:
            self._connections.send(connection, header, buffers, may_be_lost)

    def job_ended(self, job: Job) -> None:
        """Send a job's end to its listener."""
        connection = self._connections.find(job.listener, job.client)
        if connection is not None:
            self.send_end(connection, job, None)

    def send_end(self, connection: Connection, job: Job, request: str | None) -> None:
        """Send a finished job's error now, or its result as soon as the connection is ready."""
        if job.error is not None:
            self._connections.send(connection, job_error(job, job.error, request))
        elif not any((waiting.identity, waiting.job) == (connection.identity, job.id) for waiting in self._waiting):
            self._waiting.append(_WaitingResult(connection.identity, job.id, request))

    def send_results(self) -> None:
        """Send results to connections that have received the previous one, so that each has one at a time in memory."""
        still_waiting = []
        for waiting in self._waiting:
            connection = self._connections.find(waiting.identity)
            job = None if connection is None else self._book.find(connection.client, waiting.job, None)
            if connection is None or job is None:
                continue
            if connection.takes_large:
                self._send_result(connection, job, waiting.request)
            else:
                still_waiting.append(waiting)
        self._waiting = still_waiting

    def _send_result(self, connection: Connection, job: Job, request: str | None) -> None:
        try:
            with open(job.result_path, "rb") as file:
                header, *buffers = read_frames(file) or [b"{}"]
        except (OSError, BrokenFramesError):
            _log.exception("a result cannot be read")
            lost = JobError("disk", "The result was lost on the server's disk.", "Submit the photos again.")
            self._connections.send(connection, job_error(job, lost, request))
            return
        self._connections.send(connection, result_follows(job, sum(map(len, buffers))))
        self._connections.send(connection, {**msgspec.json.decode(header), **with_request(request)}, buffers)
