"""Addresses of services, and the client's own key pair in the service's configuration folder."""

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import AddonError
from ..shared.file_lock import write_private_once

KEY_PATTERN = re.compile(r"[0-9A-Za-z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
"""A CURVE key in Z85."""


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair, both keys in Z85."""

    public: str
    secret: str


@dataclass(frozen=True)
class ServerAddress:
    """Endpoint and public key of a service."""

    endpoint: str
    public_key: str


def config_folder() -> Path:
    """The user's configuration folder of the service, see docs/protocol.md."""
    if folder := os.environ.get("LIKENESS_CONFIG_DIR"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "likeness"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "likeness"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "likeness"


def remote_address(endpoint: str, public_key: str) -> ServerAddress:
    """The address of a service that the user entered.

    Raises ``AddonError`` (code ``address``) for an invalid one.
    """
    endpoint, public_key = endpoint.strip(), public_key.strip()
    if endpoint and "://" not in endpoint:
        endpoint = f"tcp://{endpoint}"
    if not re.fullmatch(r"tcp://[^\s/]+:\d{1,5}", endpoint):
        raise AddonError(
            f"{endpoint or 'The empty address'} is not the address of a service.",
            "Write it like tcp://192.168.0.7:5555, in the extension's preferences.",
            "address",
        )
    if not KEY_PATTERN.fullmatch(public_key):
        raise AddonError(
            "The public key of the service has to be 40 characters long.",
            "Copy it from the other machine's server_key.json into the extension's preferences.",
            "address",
        )
    return ServerAddress(endpoint, public_key)


def is_loopback(endpoint: str) -> bool:
    """Whether ``endpoint`` is on this machine, so that no network is used."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def client_keys(folder: Path) -> KeyPair:
    """Load this user's client key pair from ``client_key.json``, created if missing (mode 0600, never overwritten).

    Raises ``AddonError`` if the file can neither be read nor created.
    """
    path = folder / "client_key.json"
    try:
        if not path.exists():
            _make_keys(path)
        stored = json.loads(path.read_text("utf-8"))
        pair = KeyPair(str(stored["public_key"]), str(stored["secret_key"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AddonError(
            f"The key file {path} cannot be used ({error}).", "Delete it, and a new one is made.", "keys"
        ) from error
    if not (KEY_PATTERN.fullmatch(pair.public) and KEY_PATTERN.fullmatch(pair.secret)):
        raise AddonError(f"The key file {path} holds no keys.", "Delete it, and a new one is made.", "keys")
    return pair


def pyzmq() -> ModuleType:
    """The module ``zmq``. Raises ``AddonError`` ``no_zmq`` if it cannot be loaded."""
    try:
        import zmq
    except ImportError as error:
        advice = "Install the extension from its own zip for this system; that carries pyzmq."
        raise AddonError(f"pyzmq could not be loaded ({error}).", advice, "no_zmq") from error
    return zmq


def _make_keys(path: Path) -> None:
    zmq = pyzmq()
    public, secret = zmq.curve_keypair()
    while public.startswith(b"-"):  # after --owner it would be parsed as an option
        public, secret = zmq.curve_keypair()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({"public_key": public.decode(), "secret_key": secret.decode()})
    write_private_once(path, text.encode())  # where another process was faster, its keys are used
