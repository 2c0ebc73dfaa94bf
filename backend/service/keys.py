"""CURVE keys: created on first start, kept in private files."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import zmq

from backend.errors import LikenessError
from backend.service.config_folder import FILE_MODE, write_private_once

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
