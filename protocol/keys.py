"""What servers and clients share: the user's configuration folder, the CURVE key pairs in it, and addresses."""

import ipaddress
import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .file_lock import write_private_once

CONFIG_VARIABLE = "LIKENESS_CONFIG_DIR"
JOBS = "jobs"
"""Folder in the configuration folder. It has a folder per server with its jobs, named after its instance, and a lock
beside it that the server holds."""
_log = logging.getLogger(__name__)
_Z85 = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair in Z85, 40 characters each."""

    public: str
    secret: str = field(repr=False)


def is_key(text: str) -> bool:
    """Whether ``text`` is a key in Z85."""
    return _Z85.fullmatch(text) is not None


def is_loopback(endpoint: str) -> bool:
    """Whether ``tcp://HOST:PORT`` can be reached from its own machine alone."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def config_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Folder of the keys and of servers' jobs (docs/protocol.md); it may not exist yet, and is relative where the
    environment's folders are."""
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    home = os.path.expanduser("~")
    if platform == "win32":
        return Path(environment.get("APPDATA") or f"{home}/AppData/Roaming", "likeness")
    home = environment.get("HOME", home)
    if platform == "darwin":
        return Path(home, "Library", "Application Support", "likeness")
    return Path(environment.get("XDG_CONFIG_HOME") or Path(home, ".config"), "likeness")


def key_pair(path: Path) -> KeyPair:
    """The key pair in a file that only this user may read, made if it is missing and never overwritten.

    Raises ``OSError``, and ``ValueError`` where no key pair is in it.
    """
    import zmq

    if not path.exists():
        public, secret = zmq.curve_keypair()
        while public.startswith(b"-"):  # after --owner it would be parsed as an option
            public, secret = zmq.curve_keypair()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = {"public_key": public.decode(), "secret_key": secret.decode()}
        write_private_once(path, json.dumps(made).encode())  # where another process was faster, its keys are used
    if os.name == "posix" and path.stat().st_mode & 0o077:
        _log.warning("%s could be read by others; its mode is 0600 now", path.name)
        path.chmod(0o600)
    try:
        stored = json.loads(path.read_bytes())
        pair = KeyPair(stored["public_key"], stored["secret_key"])
        fits = is_key(pair.secret) and zmq.curve_public(pair.secret.encode()) == pair.public.encode()
    except (KeyError, TypeError, AttributeError, RecursionError, zmq.ZMQError) as error:
        raise ValueError(f"no key pair: {error}") from error
    if not fits:
        raise ValueError("no key pair")
    return pair
