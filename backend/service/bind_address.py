"""The address at which a server listens."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import zmq

from backend.errors import LikenessError

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
