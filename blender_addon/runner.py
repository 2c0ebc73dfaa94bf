"""Run one job from click to result, without ``bpy``: start the backend, connect, submit, follow, report.

``Runner.tick`` never blocks. A Blender timer calls it, or a loop in background mode.
"""

import contextlib
import enum
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .backend_process.server import LocalBackend, ServerProcess, wait_for_end
from .client import events
from .client.conversation import Connection, ServerAddress, Timeouts, client_keys
from .client.submissions import AnyJob
from .errors import AddonError

START_SECONDS = 120.0
"""Time-out for starting the backend; reading torch from a slow disk for the first time may take half of it."""
CANCEL_SECONDS = 5.0
"""A cancelled job counts as cancelled after this time even without the server's confirmation."""


Delivered = events.Previewed | events.ResultReceived | events.ExpressionsReceived


class Phase(enum.Enum):
    """Phase of a job."""

    IDLE = "idle"
    STARTING = "starting"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def busy(self) -> bool:
        """Whether a job is in progress."""
        return self in (Phase.STARTING, Phase.QUEUED, Phase.RUNNING, Phase.CANCELLING)


@dataclass(frozen=True)
class JobView:
    """State for display: a sentence, the fraction done (0-1), seconds left or None; code and advice on failure."""

    phase: Phase = Phase.IDLE
    sentence: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None
    code: str = ""
    advice: str = ""


class Runner:
    """Run one job at a time; keep the backend and the connection between jobs.

    client : name and version of this client. config : the service's configuration folder. ``process`` : the backend
    that this runner started, while it exists.
    """

    def __init__(self, client: str, config: Path) -> None:
        self.view = JobView()
        self.welcome: events.Welcomed | None = None
        self._client, self._config = client, config
        self._backend: LocalBackend | ServerAddress | None = None
        self._connection: Connection | None = None
        self.process: ServerProcess | None = None
        self._ending: ServerProcess | None = None
        self._submission: AnyJob | None = None
        self._submitted = False
        self._cancelled_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether a job is in progress."""
        return self.view.phase.busy

    @property
    def connected(self) -> bool:
        """Whether ``tick`` has anything to do."""
        return self._connection is not None or self.process is not None

    def prepare(self, backend: LocalBackend) -> None:
        """Start a backend for a job that is likely to come, unless it runs; if it fails, ``begin`` reports why."""
        if self.busy or self.connected:
            return
        self._backend = backend
        with contextlib.suppress(AddonError):
            self.process = ServerProcess(backend)

    def begin(self, submission: AnyJob, backend: LocalBackend | ServerAddress) -> None:
        """Start a job. Raises ``AddonError`` ``busy`` if another one is in progress."""
        if self.busy:
            raise AddonError("The backend is busy already.", "Wait for it, or cancel it.", "busy")
        if backend != self._backend:
            self.stop()
        self._backend, self._submission, self._submitted = backend, submission, False
        self.view = JobView(Phase.STARTING, "Starting the backend")
        try:
            if self.process is not None and self.process.exit_code is not None:
                self._drop()
            if self._connection is not None and self._connection.alive:
                if self.welcome is not None:
                    self._submit()
            else:
                self._drop_connection()
                if self.process is None:  # otherwise ``tick`` connects as soon as it listens
                    self._reach()
        except AddonError as error:
            self._fail(error)

    def cancel(self) -> None:
        """Cancel the job; its phase becomes ``CANCELLED`` at once or within seconds."""
        if not self.busy or self.view.phase is Phase.CANCELLING:
            return
        if not self._submitted or self._connection is None:
            self._end_cancelled()
            return
        self._connection.cancel(self._submission.token)
        self._cancelled_at = time.monotonic()
        self.view = replace(self.view, phase=Phase.CANCELLING, sentence="Cancelling", seconds_left=None)

    def stop(self, wait: bool = False) -> None:
        """Cancel the job and leave the backend; a backend that this runner started ends.

        ``wait`` waits a few seconds for that, and for the end of an earlier ``stop``.
        """
        if self._connection is not None and self._submission is not None and self._submitted:
            self._connection.cancel(self._submission.token)
        self._submission = None
        self._drop(wait)
        self.view = JobView()

    def wait_for_end(self) -> None:
        """Wait after ``stop`` until no backend of this user runs on this computer; not for the main thread.

        Raises ``AddonError``: ``in_use`` if another Blender's runs, ``busy`` if the system does not end one.
        """
        if self._ending is not None:
            self._ending.join()
        wait_for_end(self._config)

    def tick(self) -> list[Delivered]:
        """Process everything pending; return previews and the result of the current job, oldest first."""
        delivered: list[Delivered] = []
        try:
            if self.busy and self._connection is None and self.process is None:
                self._reach()
            for event in self._connection.take() if self._connection is not None else ():
                self._take_in(event, delivered)
            self._watch_process()
            if self.view.phase is Phase.CANCELLING and time.monotonic() - self._cancelled_at > CANCEL_SECONDS:
                self._end_cancelled()
        except AddonError as error:
            if self.busy:
                self._fail(error)
        return delivered

    def _reach(self) -> None:
        """Connect to the given service, or start one on this computer."""
        if isinstance(self._backend, ServerAddress):
            self.view = replace(self.view, sentence=f"Connecting to {self._backend.endpoint}")
            self._connect(self._backend, Timeouts())
        else:
            self.process = ServerProcess(self._backend)

    def _connect(self, address: ServerAddress, patience: Timeouts) -> None:
        self.welcome = None
        self._connection = Connection(address, client_keys(self._config), self._client, patience)
        self._connection.start()

    def _watch_process(self) -> None:
        process = self.process
        if process is None:
            return
        if process.exit_code is not None:
            self._process_ended(process)
        elif self._connection is None:
            if process.address is not None:
                self._connect(process.address, Timeouts(hello=10.0, again=30.0))
            elif time.monotonic() - process.started > START_SECONDS:
                self._drop()
                raise AddonError(
                    "The backend did not start within two minutes.",
                    f"Try again, or {process.backend.remedy}",
                    "cannot_start",
                )

    def _process_ended(self, process: ServerProcess) -> None:
        was_running = self._submitted and self.busy
        why = process.exit_sentence()
        self.process = None
        self._drop_connection()
        if was_running and self.view.phase is not Phase.CANCELLING:
            self.process = ServerProcess(self._backend)  # so that the next click finds it running
            words = self._submission.words
            advice = f"It has been started again. {words.again}"
            sentence = why.sentence.rstrip(".") + f", and this {words.what} is lost."
            raise AddonError(
                sentence, advice if why.code != "out_of_memory" else f"{why.advice} {advice}", "server_died"
            )
        if self.view.phase is Phase.CANCELLING:
            self._end_cancelled()
        elif self.busy:
            raise why

    def _take_in(self, event: events.Event, delivered: list[Delivered]) -> None:
        if isinstance(event, events.Welcomed):
            self.welcome = event
            if self.busy and not self._submitted and self._submission is not None:
                self._submit()
        elif isinstance(event, events.ConnectFailed):
            self._gave_up(event)
        elif isinstance(event, events.ConnectionLost):
            if self.busy:
                self.view = replace(self.view, sentence=event.sentence, seconds_left=None)
        elif self._submission is not None and event.token == self._submission.token:
            self._take_in_job(event, delivered)

    def _take_in_job(self, event: events.Event, delivered: list[Delivered]) -> None:
        cancelling = self.view.phase is Phase.CANCELLING
        if cancelling and isinstance(event, events.ResultReceived | events.ExpressionsReceived | events.JobFailed):
            self._end_cancelled()  # a result that arrives during cancelling is dropped
        elif isinstance(event, events.ResultReceived | events.ExpressionsReceived):
            self._submission = None
            delivered.append(event)
            self.view = JobView(Phase.DONE, "Finished.", 1.0)
        elif isinstance(event, events.JobFailed):
            if event.error.code != "cancelled":
                raise event.error
            self._end_cancelled()
        elif cancelling:
            return
        elif isinstance(event, events.Queued):
            waiting = "Waiting for the backend"
            if event.position:
                jobs = "1 other job" if event.position == 1 else f"{event.position} other jobs"
                waiting = f"Waiting for {jobs}"
            self.view = JobView(Phase.QUEUED, waiting)
        elif isinstance(event, events.Progressed):
            sentence = event.sentence or event.stage
            self.view = JobView(Phase.RUNNING, sentence, event.fraction, event.seconds_left)
        elif isinstance(event, events.Previewed):
            delivered.append(event)

    def _gave_up(self, event: events.ConnectFailed) -> None:
        self._drop_connection()
        if self.view.phase is Phase.CANCELLING:
            self._end_cancelled()
        elif self.busy:
            self._drop()
            raise event.error

    def _submit(self) -> None:
        self._connection.submit(self._submission)
        self._submitted = True
        self.view = replace(self.view, sentence=self._submission.words.sending)

    def _end_cancelled(self) -> None:
        self._submission = None
        self.view = JobView(Phase.CANCELLED, "Cancelled.")

    def _fail(self, error: AddonError) -> None:
        self._submission = None
        self.view = JobView(Phase.FAILED, error.sentence, code=error.code, advice=error.advice)

    def _drop_connection(self, wait_seconds: float = 0.0) -> None:
        if self._connection is not None:
            self._connection.close(wait_seconds)
        self._connection = self.welcome = None

    def _drop(self, wait: bool = False) -> None:
        process, self.process = self.process, None
        self._drop_connection(0.5 if wait else 0.0)
        if process is not None:
            process.end()
            self._ending = process
        if wait and self._ending is not None:
            with contextlib.suppress(AddonError):
                self._ending.join()
