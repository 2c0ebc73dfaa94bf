"""Limits of the service; all are sent in ``welcome`` and enforced."""

from __future__ import annotations

from dataclasses import dataclass

RESULT_HEADER_BYTES = 4 * 2**20
"""The largest header of a ``result``."""


@dataclass(frozen=True)
class Limits:
    """All limits of a server.

    Attributes
    ----------
    header_bytes, frame_bytes, message_bytes : of a client's message: its header, one buffer, all frames together.
        A connection that sends more than ``message_bytes`` without completing a message is closed (see ``rate_limit``).
    identity_bytes : of the neutral head in a transfer.
    photos, name_characters : of one job.
    jobs_per_client : unfinished jobs per client key. queue : unfinished jobs of all clients.
    seconds_per_job, seconds_per_transfer : running time. An hour of video takes about two.
    result_seconds : how long a finished job is kept.
    waiting_bytes : photos of unfinished jobs on the disk. result_bytes : results on the disk; the oldest go first.
    finished_jobs : number kept; the oldest go first.
    connections : simultaneous ones.
    """

    header_bytes: int = 64 * 2**10
    frame_bytes: int = 64 * 2**20
    message_bytes: int = 512 * 2**20
    identity_bytes: int = 2**20
    photos: int = 64
    name_characters: int = 255
    jobs_per_client: int = 4
    queue: int = 32
    seconds_per_job: float = 900.0
    seconds_per_transfer: float = 6 * 3600.0
    result_seconds: float = 3600.0
    waiting_bytes: int = 2 * 2**30
    result_bytes: int = 2 * 2**30
    finished_jobs: int = 256
    connections: int = 64

    def seconds_of(self, kind: str) -> float:
        """Time limit of a job of this kind, in seconds."""
        return self.seconds_per_transfer if kind == "transfer" else self.seconds_per_job


@dataclass(frozen=True)
class Timing:
    """Time-outs and intervals of the server, in seconds.

    Attributes
    ----------
    heartbeat : a connection silent for so long is pinged; a running job's progress is sent at least as often.
    silence : after so long a client may consider the server gone; so does the server when it needs room for others.
    patience : a connection silent for so long is removed. It is long because a message counts only when complete, and
        photos take time on a slow line.
    cancel_grace : time for the worker to stop by itself before it is killed.
    worker_start : time for a worker to become ready.
    return_seconds : time that a server without its owner waits for others to reconnect.
    """

    heartbeat: float = 2.0
    silence: float = 15.0
    patience: float = 3600.0
    cancel_grace: float = 0.5
    worker_start: float = 600.0
    return_seconds: float = 5.0
