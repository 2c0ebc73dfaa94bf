"""Who may connect: the address at which a server listens, CURVE keys, the owner's key, and a limit on connections.

Keys are created at the first start and kept in private files.
"""

import asyncio
import ipaddress
import logging
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import msgspec
import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from backend.errors import LikenessError
from backend.service.messages import Limits, Timing
from backend.service.private_files import FILE_MODE
from protocol.file_lock import write_private_once

try:
    import resource
except ImportError:  # Windows
    resource = None

_log = logging.getLogger(__name__)
SERVER_KEY, CLIENT_KEY = "server_key.json", "client_key.json"
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
MOST_CONNECTIONS = 512
"""Limit on TCP connections, including those in the handshake."""
_OPEN_FILES = 8192
"""Wanted limit on open files: as unfinished handshakes are closed after ten seconds, it allows 800 of them a second."""
_OWN_DESCRIPTORS = 96
"""File descriptors reserved for the server's own files, pipes and sockets."""
ZAP_DOMAIN = "likeness"
RUNNER = "backend.service.job_runner"
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
            advice = "Give another port with --bind, or leave it out to take any free one."
            raise LikenessError("in_use", f"Port {address.port} is taken by another program.", advice) from error
        advice = "Give another address with --bind."
        raise LikenessError("usage", f"The server cannot listen on {address}: {error.strerror}.", advice) from error
    return socket.last_endpoint.decode().rstrip("\0")


class KeyPair(msgspec.Struct, frozen=True):
    """A CURVE key pair in Z85, 40 characters each; a private file has them."""

    public: str = msgspec.field(name="public_key")
    secret: str = msgspec.field(name="secret_key")

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def load_or_make_keys(path: Path) -> KeyPair:
    """The key pair in a private file, created if the file is missing.

    Raises ``LikenessError`` ("disk") when it cannot be read or written, or is not a key file.
    """
    try:
        if not path.exists():
            public, secret = (key.decode() for key in zmq.curve_keypair())
            write_private_once(path, msgspec.json.encode(KeyPair(public, secret)))
        if path.stat().st_mode & 0o077:
            _log.warning("%s could be read by others; its mode is 0600 now", path.name)
            path.chmod(FILE_MODE)
        keys = msgspec.json.decode(path.read_bytes(), type=KeyPair)
        fits = (
            is_public_key(keys.public)
            and is_public_key(keys.secret)
            and zmq.curve_public(keys.secret.encode()).decode() == keys.public
        )
    except OSError as error:
        advice = "Check the folder's permissions."
        raise LikenessError("disk", f"The key file {path} cannot be read or made: {error.strerror}.", advice) from error
    except msgspec.MsgspecError:
        fits = False
    if not fits:
        advice = "Delete it; a new one is made at the next start."
        raise LikenessError("disk", f"The key file {path} is damaged.", advice)
    return keys


def is_public_key(text: str) -> bool:
    """Whether ``text`` is a key in Z85."""
    return _Z85.fullmatch(text) is not None


def authenticate(context: zmq.Context, public_key: str) -> ThreadAuthenticator:
    """A running authenticator that lets in the clients of ``context``'s servers that have this key, and nobody else."""
    quiet = logging.getLogger(f"{__name__}.zap")
    quiet.setLevel(logging.CRITICAL)
    if resource is None:  # Windows, whose usual loop cannot wait for ZeroMQ's sockets
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    authenticator = ThreadAuthenticator(context, log=quiet)
    authenticator.start()
    authenticator.configure_curve_callback(ZAP_DOMAIN, SimpleNamespace(callback=lambda _, k: k == public_key.encode()))
    return authenticator


class ConnectionLimit:
    """Closes the oldest TCP connections of a ROUTER socket where there are too many. Without free descriptors, ZeroMQ
    would retry the next accept for ever, and nobody else could connect. Only where the system numbers sockets as files.

    Parameters
    ----------
    router : not yet bound.
    """

    def __init__(self, router: zmq.Socket) -> None:
        self._open: dict[int, bool] = {}
        self._monitor: zmq.Socket | None = None
        if resource is not None:
            _allow_open_files()
            events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
            self._monitor = router.get_monitor_socket(events)

    def delivered(self, frame: zmq.Frame) -> None:
        """Note a message of the owner; ``frame`` is one of its frames."""
        if self._monitor is not None:
            with suppress(zmq.ZMQError):
                if (descriptor := int(frame.get(zmq.SRCFD))) in self._open:
                    self._open[descriptor] = True

    def maintain(self) -> None:
        """Close connections above the limit, those that said nothing first. Called often."""
        if self._monitor is None:
            return
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._open[event["value"]] = False
            else:
                self._open.pop(event["value"], None)
        excess = len(self._open) - most_connections()
        if excess <= 0:
            return
        _log.warning("%d connections are too many; %d are closed", len(self._open), excess)
        for descriptor in sorted(self._open, key=self._open.__getitem__)[:excess]:
            with suppress(OSError):
                connection = socket.socket(fileno=descriptor)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.detach()  # ZeroMQ closes it
            del self._open[descriptor]


def _allow_open_files() -> None:
    """Raise this process's limit on open files to ``_OPEN_FILES``, as far as the system permits. Many systems start
    with 1,024 or fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Largest number of open TCP connections, given this process's limit on file descriptors."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if descriptors < 0 else max(min(MOST_CONNECTIONS, descriptors - _OWN_DESCRIPTORS), 8)


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    Attributes
    ----------
    config_folder : folder of keys and job files.
    owner : public key of the one client that is let in; None: that in the configuration folder.
    runner, search_path : the worker's module and where it is searched (see ``worker``).
    """

    config_folder: Path
    bind: BindAddress = field(default_factory=BindAddress)
    device: str = "auto"
    owner: str | None = None
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    runner: str = RUNNER
    search_path: tuple[Path, ...] = ()
