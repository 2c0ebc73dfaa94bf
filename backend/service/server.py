"""The server: one ROUTER socket and one loop that never blocks (docs/protocol.md)."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import msgspec
import zmq

try:
    import resource
except ImportError:  # Windows
    resource = None

from backend import __version__
from backend.errors import LikenessError
from backend.service.answers import job_entry, protocol_error, welcome, with_request
from backend.service.authenticator import Authenticator
from backend.service.bind_address import bind
from backend.service.config_folder import make_private_folder
from backend.service.connections import Connection, Connections
from backend.service.discovery import ServerLock, ServerState, remove_state, write_state
from backend.service.job import Job
from backend.service.job_book import JobBook
from backend.service.job_queue import JobQueue
from backend.service.keys import AUTHORIZED_CLIENTS, CLIENT_KEY, SERVER_KEY, load_or_make_keys, read_authorized_clients
from backend.service.lifetime import Lifetime
from backend.service.listeners import Listeners
from backend.service.messages import (
    PROTOCOL,
    PROTOCOLS,
    AboutJob,
    Bye,
    Cancel,
    ClientMessage,
    Fetch,
    Hello,
    List,
    NewJob,
    Ping,
    Pong,
    ProtocolError,
    Shutdown,
    Transfer,
    about,
    decode,
)
from backend.service.rate_limit import RateLimit
from backend.service.settings import ServerSettings
from backend.service.worker_process import EVENTS_ENDPOINT, WorkerProcess

_log = logging.getLogger(__name__)
JOBS = "jobs"
"""Folder in the configuration folder. It has a folder per server with its jobs, named after its instance."""
_MESSAGES_PER_TURN = 64
"""Messages received from a socket before the rest of the loop runs."""
_OPEN_FILES = 8192
"""Wanted limit on open files: as unfinished handshakes are closed after ten seconds, it allows 800 of them a second."""
_FRAME_SECONDS = 600
"""Time-out of one frame on a slow line; ZeroMQ closes a connection on which no frame is completed for longer."""


class Server:
    """A server that listens from its construction; ``run`` serves until it is stopped, ``close`` cleans up.

    Raises ``LikenessError``: "in_use" when the port is taken or a server runs already, "usage" for an address that
    does not exist or needs keys that are missing, "disk" when keys or state cannot be written.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._limits, self._timing = settings.limits, settings.timing
        folder = settings.config_folder
        _allow_open_files()
        self._reason: str | None = None
        self.instance = secrets.token_hex(16)
        self._own_client: str | None = None
        self._lock: ServerLock | None = None
        self._context = zmq.Context()
        self._authenticator: Authenticator | None = None
        try:
            make_private_folder(folder)
            self._lock = ServerLock(folder)
            keys = load_or_make_keys(folder / SERVER_KEY)
            self.public_key = keys.public
            self._authenticator = Authenticator(self._context, self._known_clients())
            self._authenticator.start()
            self._router = self._make_router(keys.secret)
            limits = self._limits
            self._rate_limit = RateLimit(self._router, limits.header_bytes + limits.message_bytes, limits.waiting_bytes)
            self.endpoint = bind(self._router, settings.bind)
            self._worker_events = self._context.socket(zmq.PULL)
            self._worker_events.bind(EVENTS_ENDPOINT)
            self._connections = Connections(self._router, self._timing)
            self._jobs = folder / JOBS / self.instance
            shutil.rmtree(folder / JOBS, ignore_errors=True)  # left by servers that were killed with their workers
            make_private_folder(folder / JOBS)
            self._book = JobBook(self._jobs, self._limits)
            self._listeners = Listeners(self._connections, self._book)
            self._queue = JobQueue(self._book, self._start_worker, self._limits, self._timing, self._listeners)
            self._lifetime = Lifetime(settings, self._connections, self._book, self._queue)
            write_state(folder, ServerState(self.endpoint, keys.public, os.getpid(), self.instance))
        except OSError as error:
            self._release()
            raise LikenessError(
                "disk", f"The folder {folder} cannot be used: {error.strerror}.", "Check its permissions."
            ) from error
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _known_clients(self) -> frozenset[str]:
        folder, bind_address = self._settings.config_folder, self._settings.bind
        known = read_authorized_clients(folder / AUTHORIZED_CLIENTS) | self._settings.allow
        own = load_or_make_keys(folder / CLIENT_KEY)
        if bind_address.loopback:
            self._own_client = own.public
            return known | {own.public}
        if not known:
            raise LikenessError(
                "usage",
                f"{bind_address} can be reached from other machines, and no client's key is given.",
                f"Give the clients' public keys with --allow, or one per line in {folder / AUTHORIZED_CLIENTS}.",
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
        remove_state(self._settings.config_folder, self.instance)
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
            except ProtocolError as error:
                if error.code == "internal":
                    _log.error("a message could not be handled", exc_info=error.__cause__)
                self._answer_error(identity, error)
            except Exception:
                _log.exception("a message could not be handled")
                self._answer_error(identity, ProtocolError("internal", "The server could not handle a message."))

    def _take_message(self, identity: bytes, client: str, frames: Sequence[zmq.Frame], now: float) -> None:
        self._lifetime.heard(now)
        connection = self._connections.find(identity, client)
        if connection is not None:
            connection.heard = now
        header = frames[0].bytes if frames else b""
        buffers = [frame.buffer for frame in frames[1:]]
        message = decode(header, buffers, self._limits)
        if isinstance(message, Hello):
            self._welcome(identity, client, message, now)
        elif connection is not None:
            with about(message):
                self._handle(connection, message, buffers, now)
        elif not isinstance(message, Bye | Pong):
            raise ProtocolError("hello_first", "Say hello first.", "", message.request)

    def _welcome(self, identity: bytes, client: str, message: Hello, now: float) -> None:
        if message.protocol not in PROTOCOLS:
            raise ProtocolError(
                "version",
                f"The client speaks protocol {message.protocol}, this server {PROTOCOL} (Likeness {__version__}).",
                "Install the extension and the backend of the same version.",
                message.request,
            )
        known = self._connections.find(identity, client)
        if known is None and len(self._connections) >= self._limits.connections:
            self._connections.drop_disconnected(now)
        if known is None and len(self._connections) >= self._limits.connections:
            sentence = f"{self._limits.connections} clients are connected already."
            raise ProtocolError("too_many_connections", sentence, "Try again later.", message.request)
        connection = known or self._connections.add(identity, client, now)
        if self._lifetime.owns(message.owner):
            self._lifetime.owner_connected(identity)
        can_stop = self._settings.owner_token is not None
        paths = client == self._own_client
        content = welcome(self.instance, self._queue.facts, can_stop, paths, self._limits, self._timing)
        self._answer(connection, message, "welcome", content)

    def _handle(
        self, connection: Connection, message: ClientMessage, buffers: Sequence[memoryview], now: float
    ) -> None:
        if isinstance(message, NewJob):
            self._check_path(connection, message)
            job = self._queue.submit(connection.client, connection.identity, message, buffers)
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, AboutJob):
            self._handle_job(connection, message, now)
        elif isinstance(message, List):
            jobs = [
                job_entry(job, self._queue.position(job) if job.unfinished else None, self._limits, now)
                for job in self._book
                if job.client == connection.client
            ]
            self._answer(connection, message, "jobs", {"jobs": jobs})
        elif isinstance(message, Ping):
            self._answer(connection, message, "pong", {}, may_be_lost=True)
        elif isinstance(message, Bye):
            self._connections.remove(connection.identity)
        elif isinstance(message, Shutdown):
            if not self._lifetime.owns(message.token):
                raise ProtocolError("not_owner", "Only who started the server may stop it.", "", message.request)
            self._lifetime.owner_connected(connection.identity)
            if self._lifetime.owner_leaves("shutdown", now):
                self._answer(connection, message, "stays", {})
            else:
                self.stop("shutdown")

    def _check_path(self, connection: Connection, message: NewJob) -> None:
        """Raise unless the client is this machine's user, who alone may give paths, even through a tunnel."""
        video = message.video if isinstance(message, Transfer) else None
        if video is None or video.path is None:
            return
        sentence = f"There is no file {video.path} where the server runs."
        if connection.client != self._own_client:
            sentence = f"The server does not open files by their paths for this client ({video.name})."
        elif os.path.isfile(video.path):
            return
        raise ProtocolError("no_path", sentence, "Send the video's bytes.", message.request)

    def _handle_job(self, connection: Connection, message: AboutJob, now: float) -> None:
        job = self._book.find(connection.client, message.job, message.token)
        if job is None:
            raise ProtocolError(
                "unknown_job", "The server does not know this job, or not any more.", "Start again.", message.request
            )
        if isinstance(message, Fetch):
            job.listener = connection.identity
            self._tell_where_it_stands(connection, job, message.request, now)
        elif isinstance(message, Cancel):
            if not job.unfinished:
                raise ProtocolError("finished", "The job is finished already.", "", message.request)
            job.listener = job.listener if self._connections.find(job.listener) else connection.identity
            self._queue.cancel(job, now)
        elif job.unfinished:
            raise ProtocolError("unfinished", "The job is not finished.", "Cancel it first.", message.request)
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
        to: ClientMessage,
        kind: str,
        content: Mapping[str, Any],
        may_be_lost: bool = False,
    ) -> None:
        header = {"type": kind, **with_request(to.request), **content}
        self._connections.send(connection, header, may_be_lost=may_be_lost)

    def _answer_error(self, identity: bytes, error: ProtocolError) -> None:
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
