"""What the service takes at most; every figure is told in ``welcome`` and enforced."""

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
        A connection that sends more than ``message_bytes`` without an end is closed (see ``rate_limit``).
    identity_bytes : of the neutral head that a transfer may bring.
    photos, name_characters : of one job.
    jobs_per_client : unfinished jobs per client key. queue : unfinished jobs of everybody.
    seconds_per_job, seconds_per_transfer : of running. An hour of video takes about two.
    result_seconds : how long a finished job is remembered.
    waiting_bytes : photos of unfinished jobs on the disk. result_bytes : results on the disk; the oldest go first.
    finished_jobs : remembered; the oldest go first.
    connections : at the same time.
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
        """How long a job of a kind may run."""
        return self.seconds_per_transfer if kind == "transfer" else self.seconds_per_job


@dataclass(frozen=True)
class Timing:
    """How often the server looks after things, in seconds.

    Attributes
    ----------
    heartbeat : a connection that was silent for so long is pinged; a running job's progress is told at least as often.
    silence : after so long a client may take the server for gone; so does the server where it needs room for others.
    patience : a connection that was silent for so long is forgotten. Not sooner: a message counts when all of it is
        there, and photos take their time on a slow line.
    cancel_grace : how long the worker may take to stop by itself before it is killed.
    worker_start : how long a worker may take to become ready.
    return_seconds : how long a server whose owner has left waits for others to come back.
    """

    heartbeat: float = 2.0
    silence: float = 15.0
    patience: float = 3600.0
    cancel_grace: float = 0.5
    worker_start: float = 600.0
    return_seconds: float = 5.0
