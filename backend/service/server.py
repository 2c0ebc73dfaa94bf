"""The server: one ROUTER socket and one loop that never blocks (docs/protocol.md).

Headers of the server's answers (docs/protocol.md).

The open connections, and non-blocking sending to them.

Automatic stop of a server: after an idle time, or when its owner has left and nobody else uses it.

Delivery of a job's messages to its listener; results are sent one at a time per connection.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import zmq

from backend import __version__
from backend.errors import LikenessError
from backend.progress import STAGES, TRANSFER_STAGES
from backend.service import access, discovery, messages
from backend.service.jobs import EVENTS_ENDPOINT, Job, JobBook, JobError, JobQueue, JobState, WorkerProcess
from protocol.file_lock import FileLock
from protocol.options import DEVICES, OPTIONS


def with_request(request: str | None) -> dict[str, str]:
    """The request field that an answer repeats, where the question had one."""
    return {} if request is None else {"request": request}


def welcome(
    instance: str,
    facts: Mapping[str, Any] | None,
    can_stop: bool,
    may_give_paths: bool,
    limits: messages.Limits,
    timing: messages.Timing,
) -> dict[str, Any]:
    """The fields of ``welcome``; ``facts`` are the worker's facts, None before it is ready."""
    return {
        "protocol": messages.PROTOCOL,
        "protocols": messages.PROTOCOLS,
        "likeness": __version__,
        "instance": instance,
        "pid": os.getpid(),
        **(facts or {"device": None, "models": None}),
        "capabilities": ["path"] * may_give_paths + ["shutdown"] * can_stop,
        "options": {name: one.names for name, one in OPTIONS.items() if one.values} | {"device": DEVICES},
        "stages": [asdict(stage) for stage in STAGES],
        "transfer_stages": [asdict(stage) for stage in TRANSFER_STAGES],
        "limits": asdict(limits),
        "heartbeat": {"interval_seconds": timing.heartbeat, "silence_seconds": timing.silence},
    }


def job_entry(job: Job, position: int | None, limits: messages.Limits, now: float) -> dict[str, Any]:
    """One job in ``jobs``."""
    end = now if job.finished is None else job.finished
    return {
        "job": job.id,
        "token": job.token,
        "state": job.state,
        "position": position,
        "stage": job.progress.stage,
        "fraction": 1.0 if job.state is JobState.DONE else job.progress.fraction,
        "seconds": 0.0 if job.started is None else round(end - job.started, 1),
        "kind": job.kind,
        "photos": len(job.names),
        "expires_in": None if job.finished is None else round(job.finished + limits.result_seconds - now, 1),
        "code": job.error.code if job.error else None,
    }


def job_error(job: Job, error: JobError, request: str | None) -> dict[str, Any]:
    """The last message of a job without a result."""
    return {"type": "error", **with_request(request), "job": job.id, "token": job.token, **asdict(error)}


def result_follows(job: Job, size: int) -> dict[str, Any]:
    """Announcement of a result of ``size`` bytes: no other message is sent until it has arrived."""
    return {"type": "result_follows", "job": job.id, "token": job.token, "bytes": size}


def protocol_error(error: messages.ProtocolError) -> dict[str, Any]:
    """The answer to an invalid message."""
    header: dict[str, Any] = {
        "type": "error",
        **with_request(error.request),
        **({} if error.token is None else {"token": error.token}),
        "code": error.code,
        "sentence": error.sentence,
        "advice": error.advice,
    }
    if error.code == "version":
        header["protocols"] = messages.PROTOCOLS
    return header


_log = logging.getLogger(__name__)
MOST_UNSENT = 64
"""Largest send queue of a connection; one that falls behind further is dropped."""


@dataclass
class Connection:
    """A connection that said hello.

    Attributes
    ----------
    heard : time of its last message. pinged : time of its last ping.
    unsent : send queue, for messages that ZeroMQ did not accept.
    large : the last large message; ZeroMQ holds its memory until it is ``done``.
    """

    identity: bytes
    client: str
    heard: float
    pinged: float = 0.0
    unsent: deque[list[bytes]] = field(default_factory=deque)
    large: zmq.MessageTracker | None = None

    @property
    def takes_large(self) -> bool:
        """Whether the last large message has been sent."""
        return not self.unsent and (self.large is None or self.large.done)


class Connections:
    """Connections by identity, over one ROUTER socket with ``ROUTER_MANDATORY``."""

    def __init__(self, router: zmq.Socket, timing: messages.Timing) -> None:
        self._router, self._timing = router, timing
        self._all: dict[bytes, Connection] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))

    def find(self, identity: bytes | None, client: str | None = None) -> Connection | None:
        """The connection; None without one, or when it belongs to another client than ``client``."""
        match = self._all.get(identity or b"")
        return match if match is not None and client in (None, match.client) else None

    def add(self, identity: bytes, client: str, now: float) -> Connection:
        """Add a connection that said hello."""
        self._all[identity] = Connection(identity, client, now)
        return self._all[identity]

    def remove(self, identity: bytes) -> None:
        """Remove a connection."""
        self._all.pop(identity, None)

    def send(
        self,
        connection: Connection,
        header: Mapping[str, Any],
        buffers: Sequence[bytes] = (),
        may_be_lost: bool = False,
    ) -> None:
        """Send, or queue where the connection is slow (dropped instead if the message ``may_be_lost``)."""
        message = [connection.identity, msgspec.json.encode(header), *buffers]
        if not connection.unsent and self._sent(connection, message):
            return
        if may_be_lost or connection.identity not in self._all:
            return
        if len(connection.unsent) >= MOST_UNSENT:
            _log.info("a connection reads too slowly and is forgotten")
            self.remove(connection.identity)
            return
        connection.unsent.append(message)

    def answer_unknown_client(self, identity: bytes, header: Mapping[str, Any]) -> None:
        """Send to a connection that has not said hello; dropped if it would block."""
        self._sent(Connection(identity, "", 0.0), [identity, msgspec.json.encode(header)])

    def maintain(self, now: float) -> None:
        """Send queued messages, ping silent connections, remove dead ones."""
        for connection in self:
            while connection.unsent and self._sent(connection, connection.unsent[0]):
                connection.unsent.popleft()
            silent = now - connection.heard
            if silent > self._timing.patience:
                self.remove(connection.identity)
            elif silent > self._timing.heartbeat and now - connection.pinged > self._timing.heartbeat:
                connection.pinged = now
                self.send(connection, {"type": "ping"}, may_be_lost=True)

    def drop_disconnected(self, now: float) -> None:
        """Remove connections whose other end is gone, or that were silent for ``Timing.silence``."""
        for connection in self:
            if now - connection.heard > self._timing.silence:
                self.remove(connection.identity)
            else:
                self.send(connection, {"type": "ping"}, may_be_lost=True)

    def _sent(self, connection: Connection, message: Sequence[bytes]) -> bool:
        """Whether ZeroMQ accepted the message; removes a connection that is gone."""
        large = len(message) > 2
        try:
            tracker = self._router.send_multipart(message, zmq.DONTWAIT, copy=not large, track=large)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.remove(connection.identity)
            return False
        if large:
            connection.large = tracker
        return True


_PARENT_SECONDS = 0.5
"""Seconds between checks of the parent process."""


class Lifetime:
    """Tracks the server's owner and other users.

    The owner is the process ``parent`` and the connections that said so. Once it has left, the server continues while
    other connections exist or wait for a job.
    """

    def __init__(
        self, settings: access.ServerSettings, connections: Connections, book: JobBook, queue: JobQueue
    ) -> None:
        self._settings, self._connections, self._book, self._queue = settings, connections, book, queue
        self._owners: set[bytes] = set()
        self._left: str | None = None
        self._used_by_others = -math.inf
        self._active = self._parent_seen = time.monotonic()

    def heard(self, now: float) -> None:
        """Note a message as activity."""
        self._active = now

    def on_owner_connected(self, identity: bytes) -> None:
        """Note a connection of the owner."""
        self._owners.add(identity)

    def owns(self, identity: bytes) -> bool:
        """Whether the connection is the owner's."""
        return identity in self._owners

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
            if not discovery.process_runs(parent):
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
                header, *buffers = messages.read_frames(file) or [b"{}"]
        except (OSError, messages.BrokenFramesError):
            _log.exception("a result cannot be read")
            lost = JobError("disk", "The result was lost on the server's disk.", "Submit the photos again.")
            self._connections.send(connection, job_error(job, lost, request))
            return
        self._connections.send(connection, result_follows(job, sum(map(len, buffers))))
        self._connections.send(connection, {**msgspec.json.decode(header), **with_request(request)}, buffers)


try:
    import resource
except ImportError:  # Windows
    resource = None


JOBS = "jobs"
"""Folder in the configuration folder. It has a folder per server with its jobs, named after its instance."""
_MESSAGES_PER_TURN = 64
"""Messages received from a socket before the rest of the loop runs."""
_OPEN_FILES = 8192
"""Wanted limit on open files: as unfinished handshakes are closed after ten seconds, it allows 800 of them a second."""
_FRAME_SECONDS = 600
"""Time-out of one frame on a slow line; ZeroMQ closes a connection on which no frame is completed for longer."""


class Server(AbstractContextManager):
    """A server that listens from its construction; ``run`` serves until it is stopped, ``close`` cleans up.

    Raises ``LikenessError``: "in_use" when the port is taken or a server runs already, "usage" for an address that
    does not exist or needs keys that are missing, "disk" when keys or state cannot be written.
    """

    def __init__(self, settings: access.ServerSettings) -> None:
        self._settings = settings
        self._limits, self._timing = settings.limits, settings.timing
        folder = settings.config_folder
        _allow_open_files()
        self._reason: str | None = None
        self.instance = secrets.token_hex(16)
        self._own_client: str | None = None
        self._lock: FileLock | None = None
        self._context = zmq.Context()
        self._authenticator: access.Authenticator | None = None
        try:
            discovery.make_private_folder(folder)
            self._lock = discovery.lock_server(folder)
            keys = access.load_or_make_keys(folder / access.SERVER_KEY)
            self.public_key = keys.public
            self._authenticator = access.Authenticator(self._context, self._known_clients())
            self._authenticator.start()
            self._router = self._make_router(keys.secret)
            limits = self._limits
            self._rate_limit = access.RateLimit(
                self._router, limits.header_bytes + limits.message_bytes, limits.waiting_bytes
            )
            self.endpoint = access.bind(self._router, settings.bind)
            self._worker_events = self._context.socket(zmq.PULL)
            self._worker_events.bind(EVENTS_ENDPOINT)
            self._connections = Connections(self._router, self._timing)
            self._jobs = folder / JOBS / self.instance
            shutil.rmtree(folder / JOBS, ignore_errors=True)  # left by servers that were killed with their workers
            discovery.make_private_folder(folder / JOBS)
            self._book = JobBook(self._jobs, self._limits)
            self._listeners = Listeners(self._connections, self._book)
            self._queue = JobQueue(self._book, self._start_worker, self._limits, self._timing, self._listeners)
            self._lifetime = Lifetime(settings, self._connections, self._book, self._queue)
            discovery.write_state(folder, discovery.ServerState(self.endpoint, keys.public, os.getpid(), self.instance))
        except OSError as error:
            self._release()
            raise LikenessError(
                "disk", f"The folder {folder} cannot be used: {error.strerror}.", "Check its permissions."
            ) from error
        except BaseException:
            self._release()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known_clients(self) -> frozenset[str]:
        folder, bind_address = self._settings.config_folder, self._settings.bind
        known = access.read_authorized_clients(folder / access.AUTHORIZED_CLIENTS) | self._settings.allow
        client_keys = access.load_or_make_keys(folder / access.CLIENT_KEY)
        if bind_address.loopback:
            self._own_client = client_keys.public
            return known | {client_keys.public}
        if not known:
            raise LikenessError(
                "usage",
                f"{bind_address} can be reached from other machines, and no client's key is given.",
                f"Give the clients' public keys with --allow, or one per line in {folder / access.AUTHORIZED_CLIENTS}.",
            )
        return known

    def _make_router(self, secret_key: str) -> zmq.Socket:
        router = self._context.socket(zmq.ROUTER)
        router.router_mandatory = True
        # Allowance for encryption; frames slightly over the limit get an answer instead of a closed connection.
        router.maxmsgsize = max(self._limits.frame_bytes, self._limits.header_bytes) + 4096
        router.rcvhwm, router.sndhwm = 8, 32
        router.handshake_ivl = 10_000
        router.heartbeat_ivl, router.heartbeat_timeout = 5_000, _FRAME_SECONDS * 1000
        router.linger = 1_000
        router.zap_domain = b"likeness"
        router.curve_server = True
        router.curve_secretkey = secret_key.encode()
        return router

    def _start_worker(self, generation: int) -> WorkerProcess:
        settings = self._settings
        arguments = (settings.runner, settings.device, self._jobs)
        return WorkerProcess(self._context, generation, *arguments, settings.search_path)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id; None while there is none."""
        return self._queue.worker_pid

    def stop(self, reason: str) -> None:
        """Make ``run`` return soon; may be called from a signal handler or another thread."""
        self._reason = self._reason or reason

    def run(self) -> str:
        """Serve until stopped; returns the reason: ``shutdown``, ``idle``, ``parent`` or the argument of ``stop``."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._worker_events, zmq.POLLIN)
        self._queue.maintain(time.monotonic())  # starts the worker at once
        while self._reason is None:
            poller.poll(50 if self._queue.busy or self._listeners.wait_for_results else 200)
            self._take_messages()
            self._take_worker_events()
            now = time.monotonic()
            self._queue.maintain(now)
            self._connections.maintain(now)
            self._rate_limit.maintain(now)
            if self._rate_limit.flows:
                self._lifetime.heard(now)
            self._listeners.send_results()
            if (reason := self._lifetime.reason_to_stop(now)) is not None:
                self.stop(reason)
        self._queue.stop(time.monotonic())
        for connection in self._connections:
            self._connections.send(connection, {"type": "bye", "reason": self._reason}, may_be_lost=True)
        return self._reason

    def close(self) -> None:
        """End everything that still runs and remove the state file and all jobs."""
        self._queue.stop(time.monotonic())
        self._book.close()
        with suppress(OSError):
            self._jobs.parent.rmdir()
        discovery.remove_state(self._settings.config_folder, self.instance)
        self._release()

    def _release(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=1_000)
        if self._lock is not None:
            self._lock.release()

    def _take_worker_events(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                generation, header, *buffers = self._worker_events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                self._queue.on_worker_event(int(generation), msgspec.json.decode(header), buffers, time.monotonic())
            except Exception:
                _log.exception("the worker said something strange and is killed")
                self._queue.kill_worker()

    def _take_messages(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            identity = frames[0].bytes
            self._rate_limit.delivered(frames[0])
            if not identity.startswith(b"\0"):
                continue  # because a client-chosen identity could be taken over by another client
            try:
                self._take_message(identity, frames[0].get("User-Id"), frames[1:], time.monotonic())
            except messages.ProtocolError as error:
                if error.code == "internal":
                    _log.error("a message could not be handled", exc_info=error.__cause__)
                self._answer_error(identity, error)
            except Exception:
                _log.exception("a message could not be handled")
                self._answer_error(
                    identity, messages.ProtocolError("internal", "The server could not handle a message.")
                )

    def _take_message(self, identity: bytes, client: str, frames: Sequence[zmq.Frame], now: float) -> None:
        self._lifetime.heard(now)
        connection = self._connections.find(identity, client)
        if connection is not None:
            connection.heard = now
        header = frames[0].bytes if frames else b""
        buffers = [frame.buffer for frame in frames[1:]]
        message = messages.decode(header, buffers, self._limits)
        if isinstance(message, messages.Hello):
            self._welcome(identity, client, message, now)
        elif connection is not None:
            with messages.about(message):
                self._handle(connection, message, buffers, now)
        elif not isinstance(message, messages.Bye | messages.Pong):
            raise messages.ProtocolError("hello_first", "Say hello first.", "", message.request)

    def _welcome(self, identity: bytes, client: str, message: messages.Hello, now: float) -> None:
        if message.protocol not in messages.PROTOCOLS:
            raise messages.ProtocolError(
                "version",
                f"The client speaks protocol {message.protocol}, "
                f"this server {messages.PROTOCOL} (Likeness {__version__}).",
                "Install the extension and the backend of the same version.",
                message.request,
            )
        known = self._connections.find(identity, client)
        if known is None and len(self._connections) >= self._limits.connections:
            self._connections.drop_disconnected(now)
        if known is None and len(self._connections) >= self._limits.connections:
            sentence = f"{self._limits.connections} clients are connected already."
            raise messages.ProtocolError("too_many_connections", sentence, "Try again later.", message.request)
        connection = known or self._connections.add(identity, client, now)
        paths = client == self._own_client
        if message.owner and paths and self._settings.parent is not None:  # the user's own key may kill it anyway
            self._lifetime.on_owner_connected(identity)
        can_stop = self._lifetime.owns(identity)
        content = welcome(self.instance, self._queue.facts, can_stop, paths, self._limits, self._timing)
        self._answer(connection, message, "welcome", content)

    def _handle(
        self, connection: Connection, message: messages.ClientMessage, buffers: Sequence[memoryview], now: float
    ) -> None:
        if isinstance(message, messages.NewJob):
            self._check_path(connection, message)
            job = self._book.submit(connection.client, connection.identity, message, buffers)
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, messages.AboutJob):
            self._handle_job(connection, message, now)
        elif isinstance(message, messages.List):
            jobs = [
                job_entry(job, self._queue.position(job) if job.unfinished else None, self._limits, now)
                for job in self._book
                if job.client == connection.client
            ]
            self._answer(connection, message, "jobs", {"jobs": jobs})
        elif isinstance(message, messages.Ping):
            self._answer(connection, message, "pong", {}, may_be_lost=True)
        elif isinstance(message, messages.Bye):
            self._connections.remove(connection.identity)
        elif isinstance(message, messages.Shutdown):
            if not self._lifetime.owns(connection.identity):
                raise messages.ProtocolError(
                    "not_owner", "Only who started the server may stop it.", "", message.request
                )
            if self._lifetime.on_owner_left("shutdown", now):
                self._answer(connection, message, "stays", {})
            else:
                self.stop("shutdown")

    def _check_path(self, connection: Connection, message: messages.NewJob) -> None:
        """Raise unless the client is this machine's user, who alone may give paths, even through a tunnel."""
        video = message.video if isinstance(message, messages.Transfer) else None
        if video is None or video.path is None:
            return
        sentence = f"There is no file {video.path} where the server runs."
        if connection.client != self._own_client:
            sentence = f"The server does not open files by their paths for this client ({video.name})."
        elif os.path.isfile(video.path):
            return
        raise messages.ProtocolError("no_path", sentence, "Send the video's bytes.", message.request)

    def _handle_job(self, connection: Connection, message: messages.AboutJob, now: float) -> None:
        job = self._book.find(connection.client, message.job, message.token)
        if job is None:
            raise messages.ProtocolError(
                "unknown_job", "The server does not know this job, or not any more.", "Start again.", message.request
            )
        if isinstance(message, messages.Fetch):
            job.listener = connection.identity
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, messages.Cancel):
            if not job.unfinished:
                raise messages.ProtocolError("finished", "The job is finished already.", "", message.request)
            job.listener = job.listener if self._connections.find(job.listener) else connection.identity
            self._queue.cancel(job, now)
        elif job.unfinished:
            raise messages.ProtocolError("unfinished", "The job is not finished.", "Cancel it first.", message.request)
        else:
            self._book.forget(job)
            self._answer(connection, message, "forgotten", {"job": job.id})

    def _tell_where_it_stands(self, connection: Connection, job: Job, request: str | None, now: float) -> None:
        if not job.unfinished:
            self._listeners.send_end(connection, job, request)
            return
        job.position = self._queue.position(job)
        header = self._queue.queued(job, job.position)
        self._connections.send(connection, {**header, **with_request(request)})
        self._queue.progress_of(job, now)

    def _answer(
        self,
        connection: Connection,
        to: messages.ClientMessage,
        kind: str,
        content: Mapping[str, Any],
        may_be_lost: bool = False,
    ) -> None:
        header = {"type": kind, **with_request(to.request), **content}
        self._connections.send(connection, header, may_be_lost=may_be_lost)

    def _answer_error(self, identity: bytes, error: messages.ProtocolError) -> None:
        self._connections.answer_unknown_client(identity, protocol_error(error))


def _allow_open_files() -> None:
    """Raise this process's limit on open files to ``_OPEN_FILES``, as far as the system permits. Many systems start
    with 1,024 or fewer, and without a free one ZeroMQ's thread busy-loops on every connection that it cannot accept."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
