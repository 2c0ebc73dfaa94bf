"""The server: one ROUTER socket and one loop that never blocks (docs/protocol.md)."""

import logging
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from backend import __version__
from backend.errors import LikenessError
from backend.progress import STAGES, TRANSFER_STAGES
from backend.service import access, messages
from backend.service.jobs import EVENTS_ENDPOINT, Job, JobError, Jobs, WorkerProcess
from protocol.file_lock import FileLock
from protocol.keys import is_loopback
from protocol.options import DEVICES, OPTIONS

_log = logging.getLogger(__name__)
MOST_UNSENT = 64
"""Largest send queue of a connection; one that falls behind further is dropped."""
_MESSAGES_PER_TURN = 64
"""Messages received from a socket before the rest of the loop runs."""
_FRAME_SECONDS = 600
"""Time-out of one frame on a slow line; ZeroMQ closes a connection on which no frame is completed for longer."""


def with_request(request: str | None) -> dict[str, str]:
    """The request field that an answer repeats, where the question had one."""
    return {} if request is None else {"request": request}


def job_error(job: Job, error: JobError, request: str | None) -> dict[str, Any]:
    """The last message of a job without a result."""
    return job.message_of("error", **with_request(request), **asdict(error))


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


@dataclass
class Connection:
    """A connection that said hello.

    Attributes
    ----------
    heard : time of its last message. pinged : time of its last ping.
    unsent : send queue, for messages that ZeroMQ did not accept.
    large : the last large message; ZeroMQ holds its memory until it is ``done``.
    results : finished jobs whose results are still to be sent, with the request that each answers.
    """

    identity: bytes
    heard: float
    pinged: float = 0.0
    unsent: deque[list[bytes]] = field(default_factory=deque)
    large: zmq.MessageTracker | None = None
    results: dict[str, str | None] = field(default_factory=dict)

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

    def find(self, identity: bytes | None) -> Connection | None:
        """The connection; None without one."""
        return self._all.get(identity or b"")

    def add(self, identity: bytes, now: float) -> Connection:
        """Add a connection that said hello, unless it is there."""
        return self._all.setdefault(identity, Connection(identity, now))

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

    def answer_stranger(self, identity: bytes, header: Mapping[str, Any]) -> None:
        """Send to a connection that has not said hello; dropped if it would block."""
        self._sent(Connection(identity, 0.0), [identity, msgspec.json.encode(header)])

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


class Server(AbstractContextManager):
    """A server that listens from its construction; ``run`` serves until it is stopped, ``close`` cleans up.

    Raises ``LikenessError``: "in_use" when the port is taken, "usage" for an address that does not exist or needs the
    owner's key, "disk" when keys cannot be written.
    """

    def __init__(self, settings: access.ServerSettings) -> None:
        access.check_address(settings.bind)
        self._settings = settings
        self._limits, self._timing = settings.limits, settings.timing
        folder = settings.config_folder
        self._reason: str | None = None
        self.instance = secrets.token_hex(16)
        self._lock: FileLock | None = None
        self._folder: Path | None = None
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        try:
            self._folder, self._lock = access.jobs_folder(folder, self.instance)
            keys = access.own_keys(folder / access.SERVER_KEY)
            self.public_key = keys.public
            self._authenticator = access.authenticate(self._context, self._owner())
            self._router = self._make_router(keys.secret)
            self._connection_limit = access.ConnectionLimit(self._router)
            self.endpoint = access.bind(self._router, settings.bind)
            self._worker_events = self._context.socket(zmq.PULL)
            self._worker_events.bind(EVENTS_ENDPOINT)
            self._connections = Connections(self._router, self._timing)
            self._jobs = Jobs(self._folder, self._start_worker, self._limits, self._timing, self)
            self._seen: float | None = time.monotonic()  # somebody; None once the heads are forgotten
        except OSError as error:
            self._release()
            sentence = f"{error.filename or folder} cannot be used: {error.strerror}."
            raise LikenessError("disk", sentence, "Check its permissions.") from error
        except BaseException:
            self._release()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def _owner(self) -> str:
        """The owner's public key: the given one, or on loopback that of this user on this machine."""
        own = access.own_keys(self._settings.config_folder / access.CLIENT_KEY).public
        owner, loopback = self._settings.owner or own, is_loopback(self._settings.bind)
        self._may_give_paths = owner == own and loopback
        if self._settings.owner is None and not loopback:
            sentence = f"{self._settings.bind} can be reached from other machines, and no owner is given."
            raise LikenessError("usage", sentence, "Give the public key of the one who uses it with --owner.")
        return owner

    def _make_router(self, secret_key: str) -> zmq.Socket:
        router = self._context.socket(zmq.ROUTER)
        router.router_mandatory = True
        # Allowance for encryption; frames slightly over the limit get an answer instead of a closed connection.
        router.maxmsgsize = max(self._limits.frame_bytes, self._limits.header_bytes) + 4096
        router.rcvhwm, router.sndhwm = 8, 32
        router.handshake_ivl = 10_000
        router.heartbeat_ivl, router.heartbeat_timeout = 5_000, _FRAME_SECONDS * 1000
        router.linger = 1_000
        router.zap_domain = access.ZAP_DOMAIN.encode()
        router.curve_server = True
        router.curve_secretkey = secret_key.encode()
        return router

    def _start_worker(self, generation: int) -> WorkerProcess:
        settings = self._settings
        assert self._folder is not None
        arguments = (settings.runner, settings.device, self._folder)
        return WorkerProcess(self._context, generation, *arguments, settings.search_path)

    def stop(self, reason: str) -> None:
        """Make ``run`` return soon; may be called from a signal handler or another thread."""
        self._reason = self._reason or reason

    def run(self) -> str:
        """Serve until stopped; returns the argument of ``stop``."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._worker_events, zmq.POLLIN)
        self._jobs.maintain(time.monotonic())  # starts the worker at once
        while self._reason is None:
            busy = self._jobs.unfinished() or any(connection.results for connection in self._connections)
            poller.poll(50 if busy else 200)
            self._take_messages()
            self._take_worker_events()
            now = time.monotonic()
            self._jobs.maintain(now)
            self._connections.maintain(now)
            self._connection_limit.maintain()
            for connection in self._connections:
                self._send_results(connection)
            self._watch_absence(now)
        self._jobs.stop(time.monotonic())
        for connection in self._connections:
            self._connections.send(connection, {"type": "bye", "reason": self._reason}, may_be_lost=True)
        return self._reason

    def close(self) -> None:
        """End everything that still runs and remove all jobs."""
        self._jobs.stop(time.monotonic())
        self._release()

    def _release(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=1_000)
        if self._folder is not None and self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):  # Windows deletes no open file
                self._folder.with_suffix(".lock").unlink(missing_ok=True)
            self._lock.release()

    def _watch_absence(self, now: float) -> None:
        """Let the worker forget heads when nobody has been connected for a while. Results can still be fetched."""
        if len(self._connections) or self._jobs.unfinished():
            self._seen = now
        elif self._seen is not None and now - self._seen > self._timing.silence:
            self._forget_heads()

    def _forget_heads(self) -> None:
        if self._seen is not None:
            self._jobs.forget_heads()
            self._seen = None

    def _take_worker_events(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                generation, header, *buffers = self._worker_events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                self._jobs.on_worker_event(int(generation), msgspec.json.decode(header), buffers, time.monotonic())
            except Exception:
                _log.exception("the worker said something strange and is killed")
                self._jobs.kill_worker()

    def _take_messages(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                frames = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            identity = frames[0].bytes
            self._connection_limit.delivered(frames[0])
            try:
                self._take_message(identity, frames[1:], time.monotonic())
            except messages.ProtocolError as error:
                if error.code == "internal":
                    _log.error("a message could not be handled", exc_info=error.__cause__)
                self._connections.answer_stranger(identity, protocol_error(error))
            except Exception:
                _log.exception("a message could not be handled")
                error = messages.ProtocolError("internal", "The server could not handle a message.")
                self._connections.answer_stranger(identity, protocol_error(error))

    def _take_message(self, identity: bytes, frames: Sequence[zmq.Frame], now: float) -> None:
        connection = self._connections.find(identity)
        if connection is not None:
            connection.heard = now
        header = frames[0].bytes if frames else b""
        buffers = [frame.buffer for frame in frames[1:]]
        message = messages.decode(header, buffers, self._limits)
        if isinstance(message, messages.Hello):
            self._welcome(identity, message, now)
        elif connection is not None:
            with messages.about(message):
                self._handle(connection, message, buffers, now)
        elif not isinstance(message, messages.Bye | messages.Pong):
            raise messages.ProtocolError("hello_first", "Say hello first.", "", message.request)

    def _welcome(self, identity: bytes, message: messages.Hello, now: float) -> None:
        if message.protocol not in messages.PROTOCOLS:
            raise messages.ProtocolError(
                "version",
                f"The client speaks protocol {message.protocol}, "
                f"this server {messages.PROTOCOL} (Likeness {__version__}).",
                "Install the extension and the backend of the same version.",
                message.request,
            )
        content = {
            "protocol": messages.PROTOCOL,
            "protocols": messages.PROTOCOLS,
            "likeness": __version__,
            "instance": self.instance,
            "pid": os.getpid(),
            **(self._jobs.facts or {"device": None, "models": None}),
            "capabilities": ["path"] * self._may_give_paths,
            "options": {name: one.names for name, one in OPTIONS.items() if one.values} | {"device": DEVICES},
            "stages": [asdict(stage) for stage in STAGES],
            "transfer_stages": [asdict(stage) for stage in TRANSFER_STAGES],
            "limits": asdict(self._limits),
            "heartbeat": {"interval_seconds": self._timing.heartbeat, "silence_seconds": self._timing.silence},
        }
        self._answer(self._connections.add(identity, now), message, "welcome", content)

    def _handle(
        self, connection: Connection, message: messages.ClientMessage, buffers: Sequence[memoryview], now: float
    ) -> None:
        if isinstance(message, messages.NewJob):
            self._check_path(message)
            job = self._jobs.submit(connection.identity, message, buffers)
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, messages.AboutJob):
            self._handle_job(connection, message, now)
        elif isinstance(message, messages.Ping):
            self._answer(connection, message, "pong", {}, may_be_lost=True)
        elif isinstance(message, messages.Bye):
            self._connections.remove(connection.identity)
            if not len(self._connections):
                self._forget_heads()

    def _check_path(self, message: messages.NewJob) -> None:
        """Raise unless the owner is this machine's user, who alone may give paths, even through a tunnel."""
        video = message.video if isinstance(message, messages.Transfer) else None
        if video is None or video.path is None:
            return
        sentence = f"There is no file {video.path} where the server runs."
        if not self._may_give_paths:
            sentence = f"The server does not open files by their paths for this client ({video.name})."
        elif os.path.isfile(video.path):
            return
        raise messages.ProtocolError("no_path", sentence, "Send the video's bytes.", message.request)

    def _handle_job(self, connection: Connection, message: messages.AboutJob, now: float) -> None:
        job = self._jobs.find(message.job, message.token)
        if job is None:
            sentence = "The server does not know this job, or not any more."
            raise messages.ProtocolError("unknown_job", sentence, "Start again.", message.request)
        if isinstance(message, messages.Fetch):
            job.listener = connection.identity
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, messages.Cancel):
            if not job.unfinished:
                raise messages.ProtocolError("finished", "The job is finished already.", "", message.request)
            job.listener = job.listener if self._connections.find(job.listener) else connection.identity
            self._jobs.cancel(job, now)
        elif job.unfinished:
            raise messages.ProtocolError("unfinished", "The job is not finished.", "Cancel it first.", message.request)
        elif isinstance(message, messages.Received):
            self._jobs.received(job)
        else:
            self._jobs.forget(job)
            self._answer(connection, message, "forgotten", {"job": job.id})

    def _tell_where_it_stands(self, connection: Connection, job: Job, request: str | None, now: float) -> None:
        if not job.unfinished:
            self._send_end(connection, job, request)
            return
        job.position = self._jobs.unfinished().index(job)
        header = job.message_of("queued", position=job.position, **with_request(request))
        self._connections.send(connection, header)
        self._jobs.tell(job, now)

    def on_job_message(
        self, job: Job, header: Mapping[str, Any], buffers: Sequence[bytes] = (), may_be_lost: bool = False
    ) -> None:
        """Forward a message about a job to its listener."""
        if (connection := self._connections.find(job.listener)) is not None:
            self._connections.send(connection, header, buffers, may_be_lost)

    def job_ended(self, job: Job) -> None:
        """Send a job's end to its listener."""
        if (connection := self._connections.find(job.listener)) is not None:
            self._send_end(connection, job, None)

    def _send_end(self, connection: Connection, job: Job, request: str | None) -> None:
        """Send a finished job's error now, or its result as soon as the connection is ready."""
        if job.error is not None:
            self._connections.send(connection, job_error(job, job.error, request))
        else:
            connection.results.setdefault(job.id, request)

    def _send_results(self, connection: Connection) -> None:
        """Send results that wait, each once the connection has received the previous one: one at a time in memory."""
        while connection.results and connection.takes_large:
            identifier, request = next(iter(connection.results.items()))
            del connection.results[identifier]
            if (job := self._jobs.find(identifier, None)) is not None:
                self._send_result(connection, job, request)

    def _send_result(self, connection: Connection, job: Job, request: str | None) -> None:
        try:
            with open(job.result_path, "rb") as file:
                header, *buffers = messages.read_frames(file) or [b"{}"]
        except (OSError, messages.BrokenFramesError):
            _log.exception("a result cannot be read")
            lost = JobError("disk", "The result is not on the server's disk any more.", "Submit the photos again.")
            self._connections.send(connection, job_error(job, lost, request))
            return
        self._connections.send(connection, job.message_of("result_follows", bytes=sum(map(len, buffers))))
        self._connections.send(connection, {**msgspec.json.decode(header), **with_request(request)}, buffers)

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
