"""Who may connect: addresses, keys, limits of messages per second.

The address at which a server listens.

CURVE keys: created on first start, kept in private files.

Authentication of clients: a ZAP handler (rfc.zeromq.org/spec/27) for CURVE, in its own thread.

Limit on the bytes of incomplete messages per connection.

ZeroMQ delivers a multi-frame message when its last frame has arrived, and limits only the size of a frame, so a client
that keeps sending frames would fill the memory. On Linux the system counts the bytes that a connection has received. If
more than a message may have came since the last complete one, the connection is closed. The counts also show that a
message is arriving on a slow line. Other systems have no such counter.

Settings of a server.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from backend.errors import LikenessError
from backend.service.discovery import FILE_MODE, write_private_once
from backend.service.messages import Limits, Timing

_ADDRESS = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.\-]+|\*):(?P<port>\d{1,5}|\*)")


@dataclass(frozen=True)
class BindAddress:
    """A TCP address; port 0 is any free port, host ``*`` all networks."""

    host: str = "127.0.0.1"
    port: int = 0

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"tcp://{self.host}:{self.port or '*'}"


def parse_bind_address(text: str) -> BindAddress:
    """``tcp://HOST:PORT`` as a ``BindAddress``. Raises ``LikenessError`` ("usage")."""
    match = _ADDRESS.fullmatch(text)
    port = match["port"].replace("*", "0") if match else "0"
    if match is None or int(port) > 65535:
        raise LikenessError("usage", f"{text} is no address to listen on.", "Give one like tcp://127.0.0.1:5555.")
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    return BindAddress(host, int(port))


def bind(socket: zmq.Socket, address: BindAddress) -> str:
    """Bind and return the endpoint with its port. Raises ``LikenessError`` ("in_use" or "usage")."""
    socket.ipv6 = address.host.startswith("[")
    try:
        socket.bind(str(address))
    except zmq.ZMQError as error:
        if error.errno in (zmq.EADDRINUSE,):
            raise LikenessError(
                "in_use",
                f"Port {address.port} is taken by another program.",
                "Give another port with --bind, or leave it out to take any free one.",
            ) from error
        raise LikenessError(
            "usage", f"The server cannot listen on {address}: {error.strerror}.", "Give another address with --bind."
        ) from error
    return socket.last_endpoint.decode().rstrip("\0")


SERVER_KEY, CLIENT_KEY, AUTHORIZED_CLIENTS = "server_key.json", "client_key.json", "authorized_clients"
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_log = logging.getLogger(__name__)


class _KeyFile(msgspec.Struct, frozen=True):
    public_key: str
    secret_key: str


@dataclass(frozen=True, repr=False)
class KeyPair:
    """A CURVE key pair in Z85, 40 characters each."""

    public: str
    secret: str


def load_or_make_keys(path: Path) -> KeyPair:
    """The key pair in a private file, created if the file is missing.

    Raises ``LikenessError`` ("disk") when it cannot be read or written, or is not a key file.
    """
    try:
        if not path.exists():
            public, secret = (key.decode() for key in zmq.curve_keypair())
            write_private_once(path, msgspec.json.encode(_KeyFile(public, secret)))
        if path.stat().st_mode & 0o077:
            _log.warning("%s could be read by others; its mode is 0600 now", path.name)
            path.chmod(FILE_MODE)
        keys = msgspec.json.decode(path.read_bytes(), type=_KeyFile)
        fits = (
            is_public_key(keys.public_key)
            and is_public_key(keys.secret_key)
            and zmq.curve_public(keys.secret_key.encode()).decode() == keys.public_key
        )
    except OSError as error:
        raise LikenessError(
            "disk", f"The key file {path} cannot be read or made: {error.strerror}.", "Check the folder's permissions."
        ) from error
    except msgspec.MsgspecError:
        fits = False
    if not fits:
        raise LikenessError(
            "disk", f"The key file {path} is damaged.", "Delete it; a new one is made at the next start."
        )
    return KeyPair(keys.public_key, keys.secret_key)


def is_public_key(text: str) -> bool:
    """Whether ``text`` is a key in Z85."""
    return _Z85.fullmatch(text) is not None


def read_authorized_clients(path: Path) -> frozenset[str]:
    """The public keys in an ``authorized_clients`` file; empty without a file.

    Raises ``LikenessError`` ("usage") for a line that does not start with a key.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise LikenessError("disk", f"{path} cannot be read.", "Check its permissions.") from error
    keys = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, rest = line[:40], line[40:]
        if not is_public_key(key) or (rest and not rest[0].isspace()):
            raise LikenessError(
                "usage",
                f"Line {number} of {path} does not start with a public key.",
                "Every line has a key of 40 characters, a space and a name.",
            )
        keys.add(key)
    return frozenset(keys)


ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_POLL_MS = 200


class Authenticator(threading.Thread):
    """Accepts or refuses connections for ZeroMQ. A message's ``User-Id`` is the client's public key.

    Parameters
    ----------
    context : the one of the guarded sockets; it can have one authenticator.
    clients : accepted public keys in Z85; all others are refused.
    """

    def __init__(self, context: zmq.Context, clients: Set[str]) -> None:
        super().__init__(name="authenticator", daemon=True)
        self._clients = frozenset(clients)
        self._stopping = threading.Event()
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(ZAP_ENDPOINT)

    def run(self) -> None:
        """Answer until ``stop`` is called."""
        with self._socket:
            while not self._stopping.is_set():
                if self._socket.poll(_POLL_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def stop(self) -> None:
        """End the thread; existing connections stay."""
        self._stopping.set()
        self.join()

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """Version, request id, status, text, user id, metadata."""
        request = question[1] if len(question) > 1 else b""
        if len(question) == 7 and question[0] == b"1.0" and question[5] == b"CURVE" and len(question[6]) == 32:
            key = z85.encode(question[6])
            if key.decode() in self._clients:
                return [b"1.0", request, b"200", b"OK", key, b""]
        _log.warning("refused a client without a known key")
        return [b"1.0", request, b"400", b"Unknown key", b"", b""]


_BYTES_RECEIVED = 128
"""Offset of ``tcpi_bytes_received`` in Linux' ``tcp_info``."""
SLACK = 16 * 2**20
"""Allowance for bytes in the system's buffers."""
MOST_CONNECTIONS = 512
"""Limit on TCP connections, including those in the handshake."""
_OWN_DESCRIPTORS = 96
"""File descriptors reserved for the server's own files, pipes and sockets."""
_FLOW_SECONDS = 1.0
_FLOW_BYTES = 1024
"""Least bytes in ``_FLOW_SECONDS`` that count as an arriving message; ZeroMQ's heartbeat and handshake have less."""


class RateLimit:
    """Watches the connections of one ROUTER socket that is not yet bound.

    Parameters
    ----------
    most_each, most_together : bytes of incomplete messages, of one connection and of all.

    Attributes
    ----------
    flows : whether parts of a message were arriving on any connection at the last check.
    """

    def __init__(self, router: zmq.Socket, most_each: int, most_together: int) -> None:
        self._most_each, self._most_together = most_each + SLACK, most_together + SLACK
        self._complete: dict[int, int] = {}
        self._delivered: set[int] = set()
        self.flows = False
        self._flow_counts: dict[int, int] = {}
        self._flow_counted = 0.0
        self._monitor: zmq.Socket | None = None
        if sys.platform == "linux":
            events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
            self._monitor = router.get_monitor_socket(events)

    def delivered(self, frame: zmq.Frame) -> None:
        """Note a complete message; ``frame`` is one of its frames."""
        if self._monitor is not None:
            with suppress(zmq.ZMQError):
                self._delivered.add(int(frame.get(zmq.SRCFD)))

    def maintain(self, now: float) -> None:
        """Close connections that send too much, and update ``flows``. Call it when all complete messages are taken."""
        if self._monitor is None:
            return
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._complete[event["value"]] = 0
            else:
                self._complete.pop(event["value"], None)
        pending = {descriptor: self._pending(descriptor) for descriptor in self._complete}
        self._delivered.clear()
        self._see_flow(pending, now)
        self._refuse_crowd()
        together = sum(pending.values())
        for descriptor, count in sorted(pending.items(), key=lambda item: -item[1]):
            if count <= self._most_each and together <= self._most_together:
                return
            _log.warning("a connection sent %d MiB without the end of a message, and is closed", count // 2**20)
            self._close(descriptor)
            together -= count

    def _refuse_crowd(self) -> None:
        """Close the oldest of too many connections, those without a message first. Without free descriptors, ZeroMQ
        would retry the next accept for ever, and nobody else could connect."""
        excess = len(self._complete) - most_connections()
        if excess <= 0:
            return
        _log.warning("%d connections are too many; %d are closed", len(self._complete), excess)
        for descriptor in sorted(self._complete, key=lambda one: self._complete[one] > 0)[:excess]:
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        with suppress(OSError), _socket(descriptor) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        self._complete.pop(descriptor, None)

    def _see_flow(self, pending: Mapping[int, int], now: float) -> None:
        self.flows = False
        if now - self._flow_counted >= _FLOW_SECONDS:
            before, self._flow_counts, self._flow_counted = self._flow_counts, dict(pending), now
            self.flows = any(count - before.get(descriptor, 0) >= _FLOW_BYTES for descriptor, count in pending.items())

    def close(self) -> None:
        """Stop monitoring."""
        if self._monitor is not None:
            self._monitor.close(0)

    def _pending(self, descriptor: int) -> int:
        """Bytes received on a connection since its last complete message."""
        try:
            with _socket(descriptor) as connection:
                information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            (received,) = struct.unpack_from("<Q", information, _BYTES_RECEIVED)
        except (OSError, struct.error):  # closed, or a system without this counter
            return 0
        if descriptor in self._delivered:
            self._complete[descriptor] = received
        return max(received - self._complete[descriptor], 0)


def most_connections() -> int:
    """Largest number of open TCP connections, given this process's limit on file descriptors."""
    import resource  # not on Windows

    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if descriptors < 0 else max(min(MOST_CONNECTIONS, descriptors - _OWN_DESCRIPTORS), 8)


@contextmanager
def _socket(descriptor: int) -> Iterator[socket.socket]:
    """ZeroMQ's own connection as a Python socket, which is not closed at the end."""
    connection = socket.socket(fileno=descriptor)
    try:
        yield connection
    finally:
        connection.detach()


RUNNER = "backend.service.job_runner"


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    Attributes
    ----------
    config_folder : folder of keys, state and job files.
    allow : accepted public keys besides those in the configuration folder.
    idle_exit : seconds without job and message after which the server stops; None: never.
    parent : id of the process that owns the server: it may stop it, and when it is gone, the server stops, or stays as
        long as others use it. None: nobody may.
    runner, search_path : the worker's module and where it is searched (see ``worker``).
    """

    config_folder: Path
    bind: BindAddress = field(default_factory=BindAddress)
    device: str = "auto"
    allow: frozenset[str] = frozenset()
    idle_exit: float | None = None
    parent: int | None = None
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    runner: str = RUNNER
    search_path: tuple[Path, ...] = ()
