"""Run one job from click to result, without ``bpy``: find or start the backend, connect, submit, follow, report.

``Runner.tick`` never blocks. A Blender timer calls it, or a loop in background mode.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .backend_process.locks import being_changed, is_being_changed
from .backend_process.server import (
    END_SECONDS,
    PORT_TAKEN,
    Ending,
    KnownServer,
    LocalBackend,
    ServerProcess,
    pending_settings_sentence,
    server_runs,
    wait_for_end,
)
from .client import events
from .client.conversation import Connection, Timeouts
from .client.keys import ServerAddress, client_keys, running_server
from .client.submissions import AnyJob
from .errors import AddonError

START_SECONDS = 120.0
"""Time-out for starting the backend; reading torch from a slow disk for the first time may take half of it."""
ASK_SECONDS = 2.0
"""Time-out for reconnecting to a backend that is to end, if the connection is lost or busy."""
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

    client : name and version of this client. config : the service's configuration folder.
    """

    def __init__(self, client: str, config: Path) -> None:
        self.view = JobView()
        self.welcome: events.Welcomed | None = None
        self._client, self._config = client, config
        self._backend: LocalBackend | ServerAddress | None = None
        self._connection: Connection | None = None
        self._process: ServerProcess | None = None
        self._ending: Ending | None = None
        self._known: KnownServer | None = None
        self._submission: AnyJob | None = None
        self._submitted = False
        self._looking = False
        self._cancelled_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether a job is in progress."""
        return self.view.phase.busy

    @property
    def connected(self) -> bool:
        """Whether ``tick`` has anything to do."""
        return self._connection is not None or self._process is not None

    @property
    def process(self) -> ServerProcess | None:
        """The backend that this runner started, while it exists."""
        return self._process

    def runs_outside(self, folder: Path) -> bool:
        """Whether this runner started this computer's backend, and from outside ``folder``."""
        process, backend = self._process, self._backend
        if process is None or process.address is None or process.exit_code is not None:
            return False  # whoever listens holds the lock: there is no other
        if not isinstance(backend, LocalBackend):
            return False
        parts = [backend.python.parent] if backend.source is None else [backend.python.parent, backend.source]
        try:
            return not any(os.path.samefile(above, folder) for part in parts for above in (part, *part.parents))
        except OSError:
            return False

    def waiting_settings(self, wanted: LocalBackend) -> str:
        """A sentence on when the settings ``wanted`` will apply, if the running backend has others; else ""."""
        if self._process is not None:
            known = KnownServer("", self._process.backend)
            return pending_settings_sentence(known.differs(wanted), mine=True, busy=self.busy)
        names = () if self._known is None else self._known.differs(wanted)
        if not names or (self._ending is not None and not self._ending.over) or not server_runs(self._config):
            return ""
        server = running_server(self._config)
        same = server is not None and server.instance == self._known.instance
        return pending_settings_sentence(names, mine=False, busy=self.busy) if same else ""

    def prepare(self, backend: LocalBackend) -> None:
        """Start a backend for a job that is likely to come, unless one runs; if it fails, ``begin`` reports why."""
        is_ending = self._ending is not None and not self._ending.over
        if self.busy or self.connected or is_ending or running_server(self._config) is not None:
            return
        self._backend = backend
        with contextlib.suppress(AddonError):
            self._start_process()

    def begin(self, submission: AnyJob, backend: LocalBackend | ServerAddress) -> None:
        """Start a job. Raises ``AddonError`` ``busy`` if another one is in progress."""
        if self.busy:
            raise AddonError("The backend is busy already.", "Wait for it, or cancel it.", "busy")
        if backend != self._backend:
            self.stop()
        self._backend, self._submission, self._submitted = backend, submission, False
        self.view = JobView(Phase.STARTING, "Starting the backend")
        try:
            if self._process is not None and self._process.exit_code is not None:
                self._drop()
            if self._connection is not None and self._connection.alive:
                if self.welcome is not None:
                    self._submit()
            else:
                self._drop_connection()
                if self._process is None:  # otherwise ``tick`` connects as soon as it listens
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
        assert self._submission is not None
        self._connection.cancel(self._submission.token)
        self._cancelled_at = time.monotonic()
        self.view = replace(self.view, phase=Phase.CANCELLING, sentence="Cancelling", seconds_left=None)

    def stop(self, wait: bool = False) -> None:
        """Cancel the job and leave the backend; a backend that this runner started ends, unless others use it.

        ``wait`` waits a few seconds for that, and for the end of an earlier ``stop``.
        """
        if self._connection is not None and self._submission is not None and self._submitted:
            self._connection.cancel(self._submission.token)
        self._submission = None
        self._drop(wait)
        self.view = JobView()

    def wait_for_end(self) -> None:
        """Wait after ``stop`` until no backend runs on this computer; not for the main thread.

        Raises ``AddonError``: ``in_use`` if others use it, ``busy`` if the system does not end it.
        """
        ending = self._ending
        if ending is not None:
            ending.join()
            if ending.failed:
                raise AddonError("The running backend does not stop.", "End it in the system's task manager.", "busy")
        wait_for_end(self._config, 0.0 if ending is not None and ending.stays else END_SECONDS)

    def tick(self) -> list[Delivered]:
        """Process everything pending; return previews and the result of the current job, oldest first."""
        delivered: list[Delivered] = []
        try:
            if self.busy and self._connection is None and self._process is None:
                self._reach()
            self._watch_process()
            for event in self._connection.take() if self._connection is not None else ():
                self._take_in(event, delivered)
            if self.view.phase is Phase.CANCELLING and time.monotonic() - self._cancelled_at > CANCEL_SECONDS:
                self._end_cancelled()
        except AddonError as error:
            if self.busy:
                self._fail(error)
        self._leave_unwanted_server()
        return delivered

    def _leave_unwanted_server(self) -> None:
        """Between jobs, leave another Blender's server with other settings, so that it can end when unused."""
        guest = self._connection is not None and self._process is None and not self.busy
        if guest and isinstance(self._backend, LocalBackend) and self._known and self._known.differs(self._backend):
            self._drop_connection()

    def _reach(self) -> None:
        """Connect to the given service, or to a running one on this computer, or start one."""
        if isinstance(self._backend, ServerAddress):
            self.view = replace(self.view, sentence=f"Connecting to {self._backend.endpoint}")
            self._connect(self._backend, Timeouts())
        elif self._ending is not None and not self._ending.over:
            return  # it may have other settings; ``tick`` tries again
        elif (server := running_server(self._config)) is not None:
            self._looking = True
            self._connect(server, Timeouts(hello=3.0, again=5.0))
        else:
            self._start_process()

    def _connect(self, address: ServerAddress, patience: Timeouts) -> None:
        self.welcome = None
        self._connection = self._started_connection(address, patience, self._process)

    def _started_connection(
        self, address: ServerAddress, patience: Timeouts, process: ServerProcess | None
    ) -> Connection:
        connection = Connection(address, client_keys(self._config), self._client, patience, process is not None)
        connection.start()
        return connection

    def _connection_to(self, process: ServerProcess) -> Connection | None:
        """A new connection to a server that is to end, to ask whether others use it."""
        with contextlib.suppress(AddonError):
            if process.address is not None:
                return self._started_connection(process.address, Timeouts(hello=ASK_SECONDS), process)
        return None

    def _start_process(self) -> None:
        assert isinstance(self._backend, LocalBackend)
        self._looking = False
        self._check_folder()
        self._process = ServerProcess(self._backend)

    def _check_folder(self) -> None:
        """Raise ``AddonError`` if another process is replacing or deleting the server's files."""
        folder = self._backend.folder if isinstance(self._backend, LocalBackend) else None
        if folder is not None and is_being_changed(self._config, folder):
            raise being_changed(folder)

    def _watch_process(self) -> None:
        process = self._process
        if process is None:
            return
        if process.exit_code is not None:
            self._process_ended(process)
        elif self._connection is None:
            if process.address is not None:
                self._check_started()
                self._connect(process.address, Timeouts(hello=10.0, again=30.0))
            elif time.monotonic() - process.started > START_SECONDS:
                self._drop()
                raise AddonError(
                    "The backend did not start within two minutes.",
                    f"Try again, or {process.backend.remedy}",
                    "cannot_start",
                )

    def _check_started(self) -> None:
        """As ``_check_folder``, if a change began while the server was starting and waits for its end."""
        try:
            self._check_folder()
        except AddonError:
            self._drop()
            raise

    def _process_ended(self, process: ServerProcess) -> None:
        was_running = self._submitted and self.busy
        why = process.exit_sentence()
        self._process = None
        self._drop_connection()
        if process.exit_code == PORT_TAKEN and self.busy and (server := running_server(self._config)) is not None:
            self._connect(server, Timeouts())  # another Blender was faster
            return
        if was_running and self.view.phase is not Phase.CANCELLING:
            self._start_process()  # so that the next click finds it running
            assert self._submission is not None
            words = self._submission.words
            advice = f"It has been started again. {words.again}"
            sentence = why.sentence.rstrip(".") + f", and this {words.what} is lost."
            raise AddonError(
                sentence, advice if why.code != "out_of_memory" else f"{why.advice} {advice}", "server_died"
            )
        if self.view.phase is Phase.CANCELLING:
            self._end_cancelled()
        elif self.busy:
            self._check_folder()  # a change of the folder would explain it
            raise why

    def _take_in(self, event: events.Event, delivered: list[Delivered]) -> None:
        if isinstance(event, events.Welcomed):
            self._looking = False
            self.welcome = event
            self._take_welcome(event)
            if self.busy and not self._submitted and self._submission is not None:
                self._submit()
        elif isinstance(event, events.ConnectFailed):
            self._gave_up(event)
        elif isinstance(event, events.ConnectionLost):
            if self.busy:
                self.view = replace(self.view, sentence=event.sentence, seconds_left=None)
        elif self._submission is not None and event.token == self._submission.token:
            self._take_in_job(event, delivered)

    def _take_welcome(self, event: events.Welcomed) -> None:
        assert self._connection is not None
        if self._process is None and (self._known is None or self._known.instance != event.instance):
            port = self._connection.address.endpoint.rsplit(":", 1)[1]
            self._known = KnownServer(event.instance, port=int(port), kind=event.device)

    def _take_in_job(self, event: events.Event, delivered: list[Delivered]) -> None:
        cancelling = self.view.phase is Phase.CANCELLING
        if cancelling and isinstance(event, events.ResultReceived | events.ExpressionsReceived | events.JobFailed):
            self._end_cancelled()  # a result that arrives during cancelling is dropped
        elif isinstance(event, events.ResultReceived | events.ExpressionsReceived):
            self._submission = None
            delivered.append(event)
            self.view = JobView(Phase.DONE, "Finished.", 1.0)
        elif isinstance(event, events.JobFailed):
            if event.code != "cancelled":
                raise AddonError(event.sentence, event.advice, event.code)
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
        looking, self._looking = self._looking, False
        self._drop_connection()
        if looking and self.busy:
            self._start_process()  # the server in server.json is gone
        elif self.view.phase is Phase.CANCELLING:
            self._end_cancelled()
        elif self.busy:
            self._drop()
            raise AddonError(event.sentence, event.advice, event.code)

    def _submit(self) -> None:
        assert self._connection is not None and self._submission is not None
        self._connection.submit(self._submission)
        self._submitted = True
        self.view = replace(self.view, sentence=self._submission.words.sending)

    def _end_cancelled(self) -> None:
        self._submission = None
        self.view = JobView(Phase.CANCELLED, "Cancelled.")

    def _fail(self, error: AddonError) -> None:
        self._submission = None
        self.view = JobView(Phase.FAILED, error.sentence, code=error.code, advice=error.advice)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close(wait_seconds=0.0)
        self._connection = self.welcome = None

    def _drop(self, wait: bool = False) -> None:
        process, connection = self._process, self._connection
        self._process = self._connection = self.welcome = None
        if self._ending is not None and self._ending.over:
            self._ending = None
        if process is not None:
            if process.address is not None:
                self._known = KnownServer(process.address.instance or "", process.backend)
            self._ending = Ending(process, connection, partial(self._connection_to, process))
        elif connection is not None:
            connection.close(wait_seconds=0.5 if wait else 0.0)
        if wait and self._ending is not None:
            self._ending.join()
