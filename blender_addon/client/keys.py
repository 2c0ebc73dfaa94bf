"""Addresses of services, and the client's own key pair in the service's configuration folder."""

import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import AddonError
from ..shared.keys import KeyPair, is_key, key_pair


@dataclass(frozen=True)
class ServerAddress:
    """Endpoint and public key of a service."""

    endpoint: str
    public_key: str


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
    if not is_key(public_key):
        raise AddonError(
            "The public key of the service has to be 40 characters long.",
            "Copy it from the other machine's server_key.json into the extension's preferences.",
            "address",
        )
    return ServerAddress(endpoint, public_key)


def client_keys(folder: Path) -> KeyPair:
    """This user's key pair, of ``client_key.json``. Raises ``AddonError`` if it can neither be read nor made."""
    path = folder / "client_key.json"
    pyzmq()
    try:
        return key_pair(path)
    except (OSError, ValueError) as error:
        sentence = f"The key file {path} cannot be used ({error})."
        raise AddonError(sentence, "Delete it, and a new one is made.", "keys") from error


def pyzmq() -> ModuleType:
    """The module ``zmq``. Raises ``AddonError`` ``no_zmq`` if it cannot be loaded."""
    try:
        import zmq
    except ImportError as error:
        advice = "Install the extension from its own zip for this system; that carries pyzmq."
        raise AddonError(f"pyzmq could not be loaded ({error}).", advice, "no_zmq") from error
    return zmq
