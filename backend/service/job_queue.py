"""The job queue: passes jobs to the worker one at a time, and recovers when a job or the worker fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from backend.service.job import Job, JobError, JobKind, JobProgress, JobState
from backend.service.job_book import JobBook
from backend.service.limits import Limits, Timing
from backend.service.messages import NewJob
from backend.service.worker_process import ENDED, WorkerProcess
from backend.stages import COLD_START_SHARE, LOADING_SENTENCE, STARTING, sentence_for

_log = logging.getLogger(__name__)
_CANCELLED = {
    JobKind.RECONSTRUCT: JobError("cancelled", "The reconstruction was cancelled."),
    JobKind.TRANSFER: JobError("cancelled", "The transfer was cancelled."),
}
_STOPPED = JobError("stopped", "The server stops.", "Start it again and submit the pictures once more.")
KEPT_BYTES = 600 * 2**20
"""Memory that a worker may keep between jobs, above that when it was ready; with more it is replaced."""
_LONGEST_PAUSE = 60.0
"""Largest pause in seconds between attempts to start a worker that does not become ready."""


def _too_long(job: Job, limits: Limits) -> JobError:
    minutes = limits.seconds_of(job.kind) / 60
    if job.kind is JobKind.TRANSFER:
        sentence, advice = "The transfer", "Cut the video into parts."
    else:
        sentence, advice = "The reconstruction", "Give fewer photos, or choose a lower quality or a smaller texture."
    return JobError("time_limit", f"{sentence} took longer than the limit of {minutes:.0f} minutes.", advice)


class QueueListener(Protocol):
    """Receiver of the queue's messages."""

    def on_job_message(self, job: Job, header: Mapping[str, Any], buffers: Sequence[bytes], may_be_lost: bool) -> None:
        """Receive a message about an unfinished job."""

    def job_ended(self, job: Job) -> None:
        """Receive the end of a job: done, failed or cancelled."""


class JobQueue:
    """Passes jobs to the worker, restarts it, and enforces the limits.

    Parameters
    ----------
    start_worker : starts the worker of a generation, numbered from 1.

    Attributes
    ----------
    facts : the worker's facts from when it became ready (``device``, ``models``); None before.
    """

    def __init__(
        self,
        book: JobBook,
        start_worker: Callable[[int], WorkerProcess],
        limits: Limits,
        timing: Timing,
        audience: QueueListener,
    ) -> None:
        self._book, self._start_worker, self._limits, self._timing = book, start_worker, limits, timing
        self._audience = audience
        self.facts: Mapping[str, Any] | None = None
        self._worker: WorkerProcess | None = None
        self._generation = 0
        self._ready = False
        self._loaded = 0.0
        self._current: Job | None = None
        self._start_by = 0.0
        self._failed_starts = 0
        self._next_start = 0.0
        self._broken: JobError | None = None
        self._warm_memory = 0

    @property
    def busy(self) -> bool:
        """Whether any job is unfinished."""
        return any(job.unfinished for job in self._book)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return None if self._worker is None else self._worker.pid

    def submit(self, client: str, connection: bytes, message: NewJob, buffers: Sequence[memoryview]) -> Job:
        """See ``JobBook.submit``."""
        return self._book.submit(client, connection, message, buffers)

    def position(self, job: Job) -> int:
        """Number of jobs before this unfinished one, including the running one."""
        if job.state is JobState.RUNNING:
            return 0
        return self._book.waiting().index(job) + (self._current is not None)

    def cancel(self, job: Job, now: float) -> None:
        """Stop an unfinished job: at once while it waits, else by the worker; kill the worker if it does not stop."""
        if job is not self._current:
            self._finish(job, JobState.CANCELLED, now, _CANCELLED[job.kind])
        elif job.stop_by is None:
            job.stop_by = now + self._timing.cancel_grace
            if self._worker is not None:
                self._worker.send({"type": "cancel", "job": job.id})

    def maintain(self, now: float) -> None:
        """Enforce time limits, start what can start, send positions and progress. Called often."""
        self._book.expire(now)
        self._enforce_times(now)
        if self._worker is None and self._may_start_worker(now):
            self._launch(now)
        if self._worker is not None and self._ready and self._current is None:
            self._start_next(now)
        for position, job in enumerate(self._book.waiting(), start=int(self._current is not None)):
            if job.position != position:
                if job.position is not None:
                    self._audience.on_job_message(job, self.queued(job, position), (), may_be_lost=False)
                job.position = position
        self._repeat_progress(now)

    def _enforce_times(self, now: float) -> None:
        job = self._current
        if job is not None and job.stop_by is not None and now >= job.stop_by:
            _log.info("the worker did not stop by itself and is killed")
            self._end_worker()
            self._finish(job, JobState.CANCELLED, now, _CANCELLED[job.kind])
        elif job is not None and job.started is not None and now - job.started > self._limits.seconds_of(job.kind):
            self._end_worker()
            self._finish(job, JobState.FAILED, now, _too_long(job, self._limits))
        elif self._worker is not None and not self._ready and now > self._start_by:
            _log.warning("the worker did not become ready and is killed")
            self._end_worker()
            self._start_failed(now, None)

    def _may_start_worker(self, now: float) -> bool:
        return now >= self._next_start and (self._failed_starts == 0 or bool(self._book.waiting()))

    def _launch(self, now: float) -> None:
        self._generation += 1
        self._ready, self._broken, self._loaded = False, None, 0.0
        self._start_by = now + self._timing.worker_start
        try:
            self._worker = self._start_worker(self._generation)
        except OSError as error:
            _log.exception("the worker cannot be started")
            self._start_failed(now, JobError("internal", f"The worker process cannot be started: {error}."))

    def _start_failed(self, now: float, reason: JobError | None) -> None:
        """Schedule another attempt; fail the waiting jobs when the reason is known or this was not the first time."""
        self._failed_starts += 1
        self._next_start = now + min(2.0 ** (self._failed_starts - 1), _LONGEST_PAUSE)
        if reason is None and self._failed_starts < 2:
            return
        error = reason or JobError(
            "worker_died", "The worker process ends while it starts.", "Run: python -m backend doctor"
        )
        for job in self._book.waiting():
            self._finish(job, JobState.FAILED, now, error)

    def _end_worker(self) -> None:
        """Kill the worker and ignore its further messages."""
        if self._worker is not None:
            self._worker.kill()
        self._worker, self._ready, self._current = None, False, None

    def _start_next(self, now: float) -> None:
        waiting = self._book.waiting()
        if not waiting or self._worker is None:
            return
        job = waiting[0]
        self._book.start(job)
        self._current, job.started = job, now
        if job.position != 0:
            job.position = 0
            self._audience.on_job_message(job, self.queued(job, 0), (), may_be_lost=False)
        self._worker.send(
            {
                "type": "task",
                "task": {
                    "job": job.id,
                    "token": job.token,
                    "kind": job.kind,
                    "options": msgspec.to_builtins(job.options),
                    "names": job.names,
                    "paths": [str(path) for path in job.paths],
                    "video": job.has_video,
                    "identity": None if job.identity_path is None else str(job.identity_path),
                    "result": str(job.result_path),
                },
            }
        )

    def queued(self, job: Job, position: int) -> dict[str, Any]:
        """The ``queued`` message."""
        return {"type": "queued", "job": job.id, "token": job.token, "position": position}

    def _repeat_progress(self, now: float) -> None:
        """Send progress of the next or running job at least once per heartbeat."""
        job = self._current
        waits_for_models = job is None and not self._ready
        if waits_for_models:
            job = next(iter(self._book.waiting()), None)
        if job is not None and now - job.told > self._timing.heartbeat:
            if waits_for_models and self._loaded > 0:
                self._tell_loading(now)
            else:
                self._tell_progress(job, now)

    def _tell_loading(self, now: float) -> None:
        """Send the progress of loading the models to the next job."""
        job = next(iter(self._book.waiting()), None)
        if job is not None and self._current is None:
            fraction = max(self._loaded, job.progress.stage_fraction)  # a new worker starts again at 0
            job.cold_share = COLD_START_SHARE
            job.progress = JobProgress(STARTING, fraction, round(COLD_START_SHARE * fraction, 4), None, now)
            self._tell_progress(job, now)

    def _tell_progress(self, job: Job, now: float) -> None:
        job.told = now
        progress = job.progress
        loading = progress.stage == STARTING and not self._ready
        header = {
            "type": "progress",
            "job": job.id,
            "token": job.token,
            "stage": progress.stage,
            "stage_fraction": progress.stage_fraction,
            "fraction": progress.fraction,
            "seconds_left": progress.seconds_left_at(now),
            "seconds": 0.0 if job.started is None else round(now - job.started, 1),
            "sentence": LOADING_SENTENCE if loading else sentence_for(progress.stage),
        }
        self._audience.on_job_message(job, header, (), may_be_lost=True)

    def on_worker_event(self, generation: int, header: Mapping[str, Any], buffers: Sequence[bytes], now: float) -> None:
        """Handle an event of the worker; those of earlier workers are ignored."""
        if generation != self._generation or self._worker is None:
            return
        kind, job = header["type"], self._current
        if kind == "ready":
            self._ready, self._failed_starts = True, 0
            self.facts = {"device": header["device"], "models": header["models"]}
            self._warm_memory = header.get("memory", 0)
        elif kind == "loading":
            self._loaded = header["fraction"]
            self._tell_loading(now)
        elif kind == "idle":
            if job is None and header["memory"] > self._warm_memory + KEPT_BYTES:
                _log.info("the worker has kept %d MiB and is replaced", header["memory"] // 2**20)
                self._end_worker()
        elif kind == "broken":
            self._broken = JobError(header["code"], header["sentence"], header["advice"])
        elif kind == ENDED:
            self._worker_ended(header["exit_code"], now)
        elif job is None or header["job"] != job.id:
            return
        elif kind == "progress":
            fraction = round(job.cold_share + (1.0 - job.cold_share) * header["fraction"], 4)
            job.progress = JobProgress(
                header["stage"], header["stage_fraction"], fraction, header["seconds_left"], now, header["owed"]
            )
            self._tell_progress(job, now)
        elif kind == "preview":
            self._audience.on_job_message(job, {**header, "token": job.token}, buffers, may_be_lost=True)
        elif kind == "done":
            self._current = None
            if job.stop_by is None:
                self._finish(job, JobState.DONE, now, None)
            else:  # too late to stop the work, but it was promised to be cancelled
                self._finish(job, JobState.CANCELLED, now, _CANCELLED[job.kind])
        elif kind == "failed":
            if header["code"] == "disk" and job.stop_by is None and self._book.make_room():
                self._current = None
                self._book.put_back(job)  # make_room deleted an unfetched result, which is worth less than a new one
            else:
                self._job_failed(job, JobError(header["code"], header["sentence"], header["advice"]), now)

    def _job_failed(self, job: Job, error: JobError, now: float) -> None:
        self._current = None
        if error.code == "cancelled" or job.stop_by is not None:
            self._finish(job, JobState.CANCELLED, now, _CANCELLED[job.kind])
        else:
            self._finish(job, JobState.FAILED, now, error)
        if error.code == "out_of_memory":
            self._end_worker()  # because a new process has released all memory

    def _worker_ended(self, exit_code: int, now: float) -> None:
        job, was_ready, broken = self._current, self._ready, self._broken
        _log.warning("the worker ended with exit code %s", exit_code)
        self._worker, self._ready, self._current = None, False, None
        if job is None:
            if not was_ready:
                self._start_failed(now, broken)
            return
        if job.stop_by is not None:
            self._finish(job, JobState.CANCELLED, now, _CANCELLED[job.kind])
            return
        killed = exit_code == -9
        error = JobError(
            "worker_died",
            "The process that computes was killed, perhaps because memory ran out."
            if killed
            else f"The process that computes crashed (exit code {exit_code}).",
            "Try again; if it happens again, close other programs or give fewer photos.",
        )
        self._finish(job, JobState.FAILED, now, error)

    def _finish(self, job: Job, state: JobState, now: float, error: JobError | None) -> None:
        try:
            self._book.finish(job, state, now, error)
        except OSError:
            _log.exception("a result is not where it should be")
            lost = JobError("disk", "The result could not be kept.", "Make room on the disk of the server.")
            self._book.finish(job, JobState.FAILED, now, lost)
        self._audience.job_ended(job)

    def kill_worker(self) -> None:
        """Kill the worker as if it had crashed: its job fails and a new one starts."""
        if self._worker is not None:
            self._worker.kill()

    def stop(self, now: float) -> None:
        """End the worker and every unfinished job."""
        worker = self._worker
        self._end_worker()
        for job in list(self._book):
            if job.unfinished:
                self._finish(job, JobState.FAILED, now, _STOPPED)
        if worker is not None:
            worker.close()

    def progress_of(self, job: Job, now: float) -> None:
        """Send an unfinished job's progress now."""
        if job.state is JobState.RUNNING or job.progress.stage != STARTING:
            self._tell_progress(job, now)
