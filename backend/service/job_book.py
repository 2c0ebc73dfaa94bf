"""All jobs of a server: scheduling, retention, deletion. Files of jobs lie in one private folder."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from backend.service.config_folder import make_private_folder
from backend.service.explain import DISK_FULL
from backend.service.job import Job, JobError, JobState
from backend.service.limits import Limits
from backend.service.messages import NewJob, ProtocolError


class JobBook:
    """Jobs by id.

    Parameters
    ----------
    folder : emptied at the start; exclusive to this server.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        make_private_folder(folder)
        self._folder = folder
        self._limits = limits
        self._jobs: dict[str, Job] = {}
        self._by_token: dict[tuple[str, str], Job] = {}
        self._last_turn: dict[tuple[str, bytes], int] = {}
        self._turns = 0
        self._count = 0

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    def submit(self, client: str, connection: bytes, message: NewJob, buffers: Sequence[memoryview]) -> Job:
        """Store a new job with its photos or its video, or return the one that already has this client's token.

        Raises ``ProtocolError`` ("too_many_jobs", "queue_full", "disk").
        """
        known = self._by_token.get((client, message.token))
        if known is not None:
            known.listener = connection
            return known
        self._check_room(client, sum(buffer.nbytes for buffer in buffers), message.request)
        identifier = secrets.token_hex(16)
        self._count += 1
        job = Job(
            id=identifier,
            token=message.token,
            number=self._count,
            client=client,
            group=(client, connection),
            listener=connection,
            message=message,
            folder=self._folder / identifier,
            file_bytes=sum(buffer.nbytes for buffer in buffers),
        )
        while True:
            try:
                make_private_folder(job.folder)
                _write_files(job, buffers)
                break
            except OSError as refused:
                error = refused
            shutil.rmtree(job.folder, ignore_errors=True)
            if error.errno in DISK_FULL and self.make_room():
                continue
            raise ProtocolError(
                "disk",
                f"The server could not keep the files: {error.strerror}.",
                "Make room on the disk of the machine that computes.",
                message.request,
            ) from error
        self._jobs[job.id] = job
        self._by_token[client, job.token] = job
        return job

    def _check_room(self, client: str, size: int, request: str | None) -> None:
        unfinished = [job for job in self if job.unfinished]
        limits = self._limits
        if sum(job.client == client for job in unfinished) >= limits.jobs_per_client:
            sentence = f"{limits.jobs_per_client} of your jobs are unfinished already."
            raise ProtocolError("too_many_jobs", sentence, "Wait for them or cancel one.", request)
        waiting_bytes = sum(job.file_bytes for job in unfinished) + size
        if len(unfinished) >= limits.queue or waiting_bytes > limits.waiting_bytes:
            raise ProtocolError("queue_full", "The server's queue is full.", "Try again later.", request)

    def find(self, client: str, job: str | None, token: str | None) -> Job | None:
        """This client's job with that id or token, else None."""
        found = self._jobs.get(job) if job is not None else self._by_token.get((client, token or ""))
        return found if found is not None and found.client == client else None

    def waiting(self) -> list[Job]:
        """Queued jobs in the order of their turns, round robin over groups."""
        queued = sorted((job for job in self if job.state is JobState.QUEUED), key=lambda job: job.number)
        turn: dict[tuple[str, bytes], int] = {}
        ranked = []
        for job in queued:
            rank = turn.get(job.group, 0)
            turn[job.group] = rank + 1
            ranked.append((rank, self._last_turn.get(job.group, 0), job.number, job))
        return [job for *_, job in sorted(ranked, key=lambda entry: entry[:3])]

    def start(self, job: Job) -> None:
        """Note that ``job`` runs now."""
        self._turns += 1
        self._last_turn[job.group] = self._turns
        job.state = JobState.RUNNING

    def put_back(self, job: Job) -> None:
        """Queue a job that has run once more; it keeps its number, so its turn comes soon."""
        job.state, job.started = JobState.QUEUED, None

    def finish(self, job: Job, state: JobState, now: float, error: JobError | None = None) -> None:
        """Note a job's end; its input files are deleted, its result stays.

        Raises ``OSError``, without any change, when a job that is done has no result.
        """
        if state is JobState.DONE:
            job.result_bytes = os.path.getsize(job.result_path)
        job.state, job.error, job.finished, job.stop_by = state, error, now, None
        job.file_bytes = 0
        for path in job.own_paths:
            with suppress(OSError):  # Windows: a worker being killed may still have it open
                path.unlink()
        if state is not JobState.DONE:
            shutil.rmtree(job.folder, ignore_errors=True)

    def forget(self, job: Job) -> None:
        """Delete a finished job and its result."""
        shutil.rmtree(job.folder, ignore_errors=True)
        del self._jobs[job.id]
        del self._by_token[job.client, job.token]
        groups = {other.group for other in self}
        self._last_turn = {group: turn for group, turn in self._last_turn.items() if group in groups}

    def expire(self, now: float) -> None:
        """Forget finished jobs that are too old or too many."""
        finished = sorted((job for job in self if job.finished is not None), key=lambda job: job.finished or 0.0)
        total = sum(job.result_bytes for job in finished)
        for position, job in enumerate(finished):
            old = now - (job.finished or 0.0) > self._limits.result_seconds
            last = position == len(finished) - 1
            too_many = len(finished) - position > self._limits.finished_jobs
            if old or too_many or (total > self._limits.result_bytes and not last):
                total -= job.result_bytes
                self.forget(job)

    def make_room(self) -> bool:
        """Delete the oldest result; False when there is none."""
        kept = [job for job in self if job.finished is not None and job.result_bytes > 0]
        if not kept:
            return False
        self.forget(min(kept, key=lambda job: job.finished or 0.0))
        return True

    def close(self) -> None:
        """Delete everything."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write_files(job: Job, buffers: Sequence[memoryview]) -> None:
    """Write a job's buffers: the last is a transfer's neutral head, each other a photo or a part of the video."""
    if job.identity_path is not None:
        job.identity_path.write_bytes(buffers[-1])
        buffers = buffers[:-1]
    if not job.has_video:
        for path, buffer in zip(job.paths, buffers, strict=True):
            path.write_bytes(buffer)
    elif buffers:
        with open(job.paths[0], "wb") as file:
            for buffer in buffers:
                file.write(buffer)
