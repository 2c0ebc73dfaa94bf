"""Who may connect: the address at which a server listens, the owner's key, and a limit on connections; and the server's
private files."""

import asyncio
import logging
import os
import re
import shutil
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from backend.errors import LikenessError
from backend.service.messages import Limits, Timing
from protocol.file_lock import FileLock, lock_file
from protocol.keys import CONFIG_VARIABLE, JOBS, KeyPair, config_folder, key_pair

try:
    import resource
except ImportError:  # Windows
    resource = None

_log = logging.getLogger(__name__)
SERVER_KEY, CLIENT_KEY = "server_key.json", "client_key.json"
FOLDER_MODE, FILE_MODE = 0o700, 0o600
MOST_CONNECTIONS = 512
"""Limit on TCP connections, including those in the handshake."""
_OPEN_FILES = 8192
"""Wanted limit on open files: as unfinished handshakes are closed after ten seconds, it allows 800 of them a second."""
_OWN_DESCRIPTORS = 96
"""File descriptors reserved for the server's own files, pipes and sockets."""
ZAP_DOMAIN = "likeness"
RUNNER = "backend.service.job_runner"
_ADDRESS = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.\-]+|\*):(?P<port>\d{1,5}|\*)")
_OWN_NAME = re.compile(r"\.?(server_key|client_key|jobs|install-[0-9a-f]{16})(\..*)?")
"""Names of what lies in the configuration folder."""


def check_address(address: str) -> None:
    """Raise ``LikenessError`` ("usage") unless it is ``tcp://HOST:PORT``; port ``*`` is any free one, host ``*`` any
    network."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"].replace("*", "0")) > 65535:
        raise LikenessError("usage", f"{address} is no address to listen on.", "Give one like tcp://127.0.0.1:5555.")


def bind(socket: zmq.Socket, address: str) -> str:
    """Bind and return the endpoint with its port. Raises ``LikenessError`` ("in_use" or "usage")."""
    socket.ipv6 = "[" in address
    try:
        socket.bind(address.replace("//localhost:", "//127.0.0.1:"))
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            advice = "Give another port with --bind, or leave it out to take any free one."
            raise LikenessError("in_use", f"{address} is taken by another program.", advice) from error
        advice = "Give another address with --bind."
        raise LikenessError("usage", f"The server cannot listen on {address}: {error.strerror}.", advice) from error
    return socket.last_endpoint.decode().rstrip("\0")


def own_folder() -> Path:
    """The configuration folder. Raises ``LikenessError`` "usage" where it would depend on the current folder: keys do
    not belong there."""
    folder = config_folder()
    if not (folder.is_absolute() or os.environ.get(CONFIG_VARIABLE)):
        advice = f"Set {CONFIG_VARIABLE} to a folder."
        raise LikenessError("usage", f"The folder for settings, {folder}, is no absolute path.", advice)
    return folder


def own_keys(path: Path) -> KeyPair:
    """The key pair in a private file, made if the file is missing.

    Raises ``OSError``, and ``LikenessError`` ("disk") for what is not a key file.
    """
    try:
        return key_pair(path)
    except ValueError as error:
        advice = "Delete it; a new one is made at the next start."
        raise LikenessError("disk", f"The key file {path} is damaged.", advice) from error


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, or restrict an existing one to this user.

    An existing folder in which other things lie is another's or serves another purpose: its rights stay as they are.

    Raises ``OSError``, and ``LikenessError`` "usage" for such a folder that others may enter.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    status = path.stat()
    if os.name != "posix" or not status.st_mode & 0o077:
        return
    shared = bool(status.st_mode & stat.S_ISVTX) or status.st_uid != os.geteuid()
    if shared or not all(map(_OWN_NAME.fullmatch, os.listdir(path))):
        why = "is not yours alone" if shared else "other files are in it"
        advice = f"Name a folder of its own in {CONFIG_VARIABLE}, such as {path / 'likeness'}."
        raise LikenessError("usage", f"The folder {path} is open to other users, and {why}.", advice)
    path.chmod(FOLDER_MODE)


def private_opener(path: str, flags: int) -> int:
    """``opener`` of ``open`` for a file that only this user may read."""
    return os.open(path, flags, FILE_MODE)


def jobs_folder(config: Path, instance: str) -> tuple[Path, FileLock]:
    """The private folder of a server's jobs, and the lock that it holds while it runs. What servers left that were
    killed with their workers is removed. Raises ``OSError``."""
    folder = config / JOBS
    make_private_folder(config)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    for left in {path.with_suffix("") for path in folder.iterdir()}:
        lock = left.with_suffix(".lock")
        if (taken := lock_file(lock, 0.0, mode=FILE_MODE)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):  # Windows does not delete what is open: the next start does
                lock.unlink()
            taken.release()
    while (own := lock_file(folder / f"{instance}.lock", mode=FILE_MODE)) is None:
        pass  # another server that starts looks whether it is left
    (folder / instance).mkdir(mode=FOLDER_MODE)
    return folder / instance, own


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
        self._count()  # its connection may be too new
        with suppress(zmq.ZMQError):
            if (descriptor := int(frame.get(zmq.SRCFD))) in self._open:
                self._open[descriptor] = True

    def maintain(self) -> None:
        """Close connections above the limit, those that said nothing first. Called often."""
        self._count()
        excess = len(self._open) - most_connections() if self._open else 0
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

    def _count(self) -> None:
        while self._monitor is not None and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self._open[event["value"]] = False
            else:
                self._open.pop(event["value"], None)


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
    bind: str = "tcp://127.0.0.1:*"
    device: str = "auto"
    owner: str | None = None
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)
    runner: str = RUNNER
    search_path: tuple[Path, ...] = ()
