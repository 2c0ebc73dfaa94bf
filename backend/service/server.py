"""The server: one ROUTER socket and one loop that never blocks (docs/protocol.md)."""

import logging
import os
import secrets
import shutil
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator

from backend import __version__
from backend.errors import LikenessError
from backend.service import access, messages
from backend.service.jobs import EVENTS_ENDPOINT, MOST_EVENTS, Job, Jobs, WorkerProcess
from backend.service.messages import ProtocolError
from protocol.file_lock import FileLock
from protocol.keys import is_loopback

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


@dataclass
class Connection:
    """A connection that said hello.

    Attributes
    ----------
    heard : time of its last message. pinged : time of its last ping.
    unsent : messages that ZeroMQ did not take, which have to arrive.
    large : the last large message; ZeroMQ holds its memory until it is ``done``.
    results : tokens of finished jobs whose results are still to be sent, with the request that each answers.
    """

    heard: float
    pinged: float = 0.0
    unsent: deque[list[bytes | memoryview]] = field(default_factory=deque)
    large: zmq.MessageTracker | None = None
    results: dict[str, str | None] = field(default_factory=dict)

    @property
    def takes_large(self) -> bool:
        """Whether the last large message has been sent."""
        return not self.unsent and (self.large is None or self.large.done)


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
            self._worker_events.rcvhwm = MOST_EVENTS
            self._worker_events.bind(EVENTS_ENDPOINT)
            self._connections: dict[bytes, Connection] = {}
            parts = self._start_worker, self._limits, self._timing, self._send_to_listener, self._send_end
            self._jobs = Jobs(self._folder, *parts)
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
            busy = self._jobs.unfinished() or any(connection.results for connection in self._connections.values())
            poller.poll(50 if busy else 200)
            self._take_messages()
            self._take_worker_events()
            now = time.monotonic()
            self._jobs.maintain(now)
            self._connection_limit.maintain()
            for identity, connection in list(self._connections.items()):
                self._maintain(identity, connection, now)
            self._watch_absence(now)
        self._jobs.stop(time.monotonic())
        for identity in list(self._connections):
            self._send(identity, {"type": "bye", "reason": self._reason})
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
        if self._connections or self._jobs.unfinished():
            self._seen = now
        elif self._seen is not None and now - self._seen > self._timing.silence:
            self._forget_heads()

    def _forget_heads(self) -> None:
        if self._seen is not None:
            self._jobs.tell_worker()
            self._seen = None

    def _maintain(self, identity: bytes, connection: Connection, now: float) -> None:
        """Send what waits, results one at a time, so that one is in memory; ping the connection where it is silent, and
        drop it where it stays so."""
        while connection.unsent and self._sent(connection, connection.unsent[0]):
            connection.unsent.popleft()
        while connection.results and connection.takes_large:
            token = next(iter(connection.results))
            self._send_result(identity, token, connection.results.pop(token))
        silent = now - connection.heard
        if silent > self._timing.patience:
            self._connections.pop(identity, None)
        elif silent > self._timing.heartbeat and now - connection.pinged > self._timing.heartbeat:
            connection.pinged = now
            self._send(identity, {"type": "ping"}, may_be_lost=True)

    def _take_worker_events(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                generation, packed = self._worker_events.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                self._jobs.on_worker_event(int(generation), packed, time.monotonic())
            except Exception:
                _log.exception("the worker said something strange and is killed")
                self._jobs.kill_worker()

    def _take_messages(self) -> None:
        for _ in range(_MESSAGES_PER_TURN):
            try:
                identity, *frames = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._connection_limit.delivered(identity)
            self._take_message(identity.bytes, frames, time.monotonic())

    def _take_message(self, identity: bytes, frames: Sequence[zmq.Frame], now: float) -> None:
        """Handle a message; what is wrong with it is the answer."""
        if (connection := self._connections.get(identity)) is not None:
            connection.heard = now
        header = frames[0].bytes if frames else b""
        buffers = [frame.buffer for frame in frames[1:]]
        try:
            message = messages.decode(header, buffers, self._limits)
            if isinstance(message, messages.Hello):
                self._welcome(identity, message, now)
            elif connection is not None:
                self._handle(identity, message, buffers, now)
            elif not isinstance(message, messages.Bye | messages.Pong):
                raise ProtocolError("hello_first", "Say hello first.")
        except Exception as error:
            if not isinstance(error, LikenessError):
                _log.exception("a message could not be handled")
                error = ProtocolError("internal", "The server could not handle a message.")
            self._send(identity, {"type": "error", **messages.about(header), **error.fields()})

    def _send(
        self, identity: bytes, header: Mapping[str, Any], buffers: Sequence[memoryview] = (), may_be_lost: bool = False
    ) -> None:
        """Send, or queue where the connection is slow (dropped instead if the message ``may_be_lost``)."""
        connection = self._connections.get(identity)
        message = [identity, msgspec.json.encode(header), *buffers]
        if not (connection and connection.unsent) and self._sent(connection, message):
            return
        if may_be_lost or connection is None or identity not in self._connections:
            return
        connection.unsent.append(message)
        if len(connection.unsent) > MOST_UNSENT:
            _log.info("a connection reads too slowly and is forgotten")
            del self._connections[identity]

    def _sent(self, connection: Connection | None, message: Sequence[bytes | memoryview]) -> bool:
        """Whether ZeroMQ took the message; removes a connection that is gone."""
        large = len(message) > 2
        try:
            tracker = self._router.send_multipart(message, zmq.DONTWAIT, copy=not large, track=large)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._connections.pop(bytes(message[0]), None)
            return False
        if large and connection is not None:
            connection.large = tracker
        return True

    def _welcome(self, identity: bytes, message: messages.Hello, now: float) -> None:
        if message.protocol != messages.PROTOCOL:
            sentence = f"The client speaks protocol {message.protocol}, this server {messages.PROTOCOL}"
            advice = "Install the extension and the backend of the same version."
            raise ProtocolError("version", f"{sentence} (Likeness {__version__}).", advice)
        content = {
            "protocol": messages.PROTOCOL,
            "likeness": __version__,
            "instance": self.instance,
            "capabilities": ["path"] * self._may_give_paths,
            "limits": asdict(self._limits),
            "heartbeat": {"interval_seconds": self._timing.heartbeat, "silence_seconds": self._timing.silence},
        }
        self._connections.setdefault(identity, Connection(now))
        self._answer(identity, message, "welcome", **content)

    def _handle(
        self, identity: bytes, message: messages.ClientMessage, buffers: Sequence[memoryview], now: float
    ) -> None:
        if isinstance(message, messages.NewJob):
            self._check_path(message.video)
            self._tell_where_it_stands(self._jobs.submit(identity, message, buffers), message.request, now)
        elif isinstance(message, messages.AboutJob):
            self._handle_job(identity, message, now)
        elif isinstance(message, messages.Ping):
            self._send(identity, {"type": "pong", **with_request(message.request)}, may_be_lost=not message.request)
        elif isinstance(message, messages.Bye):
            self._connections.pop(identity, None)
            if not self._connections:
                self._forget_heads()

    def _check_path(self, video: messages.VideoHeader | None) -> None:
        """Raise unless the owner is this machine's user, who alone may give paths, even through a tunnel."""
        if video is None or video.path is None:
            return
        sentence = f"There is no file {video.path} where the server runs."
        if not self._may_give_paths:
            sentence = f"The server does not open files by their paths for this client ({video.name})."
        elif os.path.isfile(video.path):
            return
        raise ProtocolError("no_path", sentence, "Send the video's bytes.")

    def _known(self, token: str) -> Job:
        if (job := self._jobs.find(token)) is None:
            raise ProtocolError("unknown_job", "The server does not know this job, or not any more.", "Start again.")
        return job

    def _handle_job(self, identity: bytes, message: messages.AboutJob, now: float) -> None:
        job = self._known(message.token)
        if isinstance(message, messages.Fetch):
            job.listener = identity
            self._tell_where_it_stands(job, message.request, now)
        elif isinstance(message, messages.Cancel):
            if job.finished is not None:
                raise ProtocolError("finished", "The job is finished already.")
            job.listener = job.listener if job.listener in self._connections else identity
            self._jobs.cancel(job, now)
        elif job.finished is None:
            raise ProtocolError("unfinished", "The job is not finished.", "Cancel it first.")
        elif isinstance(message, messages.Received):
            self._jobs.received(job)
        else:
            self._jobs.forget(job)
            self._answer(identity, message, "forgotten", token=message.token)

    def _tell_where_it_stands(self, job: Job, request: str | None, now: float) -> None:
        if job.finished is not None:
            self._send_end(job, request)
            return
        job.position = self._jobs.unfinished().index(job)
        self._send_to_listener(job, job.message_of("queued", position=job.position, **with_request(request)))
        self._jobs.tell(job, now)

    def _send_to_listener(
        self, job: Job, header: Mapping[str, Any], buffers: Sequence[memoryview] = (), may_be_lost: bool = False
    ) -> None:
        if job.listener in self._connections:
            self._send(job.listener, header, buffers, may_be_lost)

    def _send_end(self, job: Job, request: str | None = None) -> None:
        """Send a finished job's error now, or its result as soon as the connection is ready."""
        if job.error is not None:
            self._send_to_listener(job, job.message_of("error", **with_request(request), **job.error.fields()))
        elif (connection := self._connections.get(job.listener)) is not None:
            connection.results.setdefault(job.task.token, request)

    def _send_result(self, identity: bytes, token: str, request: str | None) -> None:
        """Send a job's result, or why it is lost; nothing of a job that was forgotten and given anew."""
        try:
            job = self._known(token)
            if job.finished is None or job.error is not None:
                return
            with open(job.task.result, "rb") as file:
                header, buffers = messages.unpack(messages.read_packed(file, messages.MOST_BYTES) or b"")
        except (ProtocolError, OSError, ValueError) as lost:
            if not isinstance(lost, ProtocolError):
                _log.exception("a result cannot be read")
                sentence = "The result is not on the server's disk any more."
                lost = ProtocolError("disk", sentence, "Submit the photos again.")
            self._send(identity, {"type": "error", "token": token, **with_request(request), **lost.fields()})
            return
        self._send(identity, job.message_of("result_follows", bytes=sum(map(len, buffers))))
        self._send(identity, {**header, **with_request(request)}, buffers)

    def _answer(self, identity: bytes, to: messages.ClientMessage, kind: str, **content: Any) -> None:
        self._send(identity, {"type": kind, **with_request(to.request), **content})
