"""Who may connect: the address at which a server listens, CURVE keys and the owner's key; and its private files."""

import logging
import os
import re
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import zmq
from zmq.auth.thread import ThreadAuthenticator

from backend.errors import LikenessError
from backend.service.messages import Limits, Timing
from protocol.file_lock import FileLock, lock_file
from protocol.keys import CONFIG_VARIABLE, JOBS, KeyPair, key_pair

try:
    import resource
except ImportError:  # Windows
    resource = None

_log = logging.getLogger(__name__)
SERVER_KEY, CLIENT_KEY = "server_key.json", "client_key.json"
FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OPEN_FILES = 8192
"""Wanted limit on open files: as unfinished handshakes are closed after ten seconds, it allows 800 of them a second."""
ZAP_DOMAIN = "likeness"
RUNNER = "backend.service.job_runner"
_ADDRESS = re.compile(r"tcp://([^:/]+|\[[0-9a-fA-F:.]+\]):(?P<port>\d{1,5}|\*)")
_OWN_FILE = re.compile(r"\.?(server_key|client_key|jobs|install-)")
"""Beginnings of the names of what lies in the configuration folder."""


def bind(socket: zmq.Socket, address: str) -> str:
    """Bind to ``tcp://HOST:PORT``, where port ``*`` is any free one and host ``*`` all networks; returns the endpoint
    with its port. Raises ``LikenessError`` ("in_use" or "usage")."""
    address = address.replace("//localhost:", "//127.0.0.1:")
    socket.ipv6 = "[" in address
    try:
        match = _ADDRESS.fullmatch(address)
        if match is None or int(match["port"].replace("*", "0")) > 65535:
            raise zmq.ZMQError(zmq.EINVAL, "it is no address")
        socket.bind(address)
    except zmq.ZMQError as error:
        if error.errno == zmq.EADDRINUSE:
            advice = "Give another port with --bind, or leave it out to take any free one."
            raise LikenessError("in_use", f"{address} is taken by another program.", advice) from error
        advice = "Give an address like tcp://127.0.0.1:5555."
        raise LikenessError("usage", f"The server cannot listen on {address}: {error.strerror}.", advice) from error
    return socket.last_endpoint.decode().rstrip("\0")


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
    """Make a folder that only this user may enter, or shut this user's own one in which nothing else lies.

    Raises ``OSError``, and ``LikenessError`` "usage" for another one that others may enter.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    status = path.stat()
    if os.name != "posix" or not status.st_mode & 0o077:
        return
    own = status.st_uid == os.geteuid() and not status.st_mode & stat.S_ISVTX
    if not (own and all(map(_OWN_FILE.match, os.listdir(path)))):
        advice = f"Shut it (chmod 700), or name another in {CONFIG_VARIABLE}, such as {path / 'likeness'}."
        raise LikenessError("usage", f"The folder {path} is open to other users.", advice)
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
    authenticator = ThreadAuthenticator(context, log=quiet)
    authenticator.start()
    owner = SimpleNamespace(callback=lambda domain, key: key == public_key.encode())
    authenticator.configure_curve_callback(ZAP_DOMAIN, owner)
    return authenticator


def allow_open_files() -> None:
    """Raise this process's limit on open files to ``_OPEN_FILES``, as far as the system permits. Many systems start
    with 1,024 or fewer."""
    if resource is not None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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
