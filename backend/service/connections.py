"""The open connections, and non-blocking sending to them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import zmq

from backend.service.limits import Timing

_log = logging.getLogger(__name__)
MOST_UNSENT = 64
"""Largest send queue of a connection; one that falls behind further is dropped."""


@dataclass
class Connection:
    """A connection that said hello.

    Attributes
    ----------
    heard : time of its last message. pinged : time of its last ping.
    unsent : send queue, for messages that ZeroMQ did not accept.
    large : the last large message; ZeroMQ holds its memory until it is ``done``.
    """

    identity: bytes
    client: str
    heard: float
    pinged: float = 0.0
    unsent: deque[list[bytes]] = field(default_factory=deque)
    large: zmq.MessageTracker | None = None

    @property
    def takes_large(self) -> bool:
        """Whether the last large message has been sent."""
        return not self.unsent and (self.large is None or self.large.done)


class Connections:
    """Connections by identity, over one ROUTER socket with ``ROUTER_MANDATORY``."""

    def __init__(self, router: zmq.Socket, timing: Timing) -> None:
        self._router, self._timing = router, timing
        self._all: dict[bytes, Connection] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))

    def find(self, identity: bytes | None, client: str | None = None) -> Connection | None:
        """The connection; None without one, or when it belongs to another client than ``client``."""
        found = self._all.get(identity or b"")
        return found if found is not None and client in (None, found.client) else None

    def add(self, identity: bytes, client: str, now: float) -> Connection:
        """Add a connection that said hello."""
        self._all[identity] = Connection(identity, client, now)
        return self._all[identity]

    def remove(self, identity: bytes) -> None:
        """Remove a connection."""
        self._all.pop(identity, None)

    def send(
        self,
        connection: Connection,
        header: Mapping[str, Any],
        buffers: Sequence[bytes] = (),
        may_be_lost: bool = False,
    ) -> None:
        """Send, or queue where the connection is slow (dropped instead if the message ``may_be_lost``)."""
        message = [connection.identity, msgspec.json.encode(header), *buffers]
        if not connection.unsent and self._sent(connection, message):
            return
        if may_be_lost or connection.identity not in self._all:
            return
        if len(connection.unsent) >= MOST_UNSENT:
            _log.info("a connection reads too slowly and is forgotten")
            self.remove(connection.identity)
            return
        connection.unsent.append(message)

    def answer_unknown_client(self, identity: bytes, header: Mapping[str, Any]) -> None:
        """Send to a connection that has not said hello; dropped if it would block."""
        self._sent(Connection(identity, "", 0.0), [identity, msgspec.json.encode(header)])

    def maintain(self, now: float) -> None:
        """Send queued messages, ping silent connections, remove dead ones."""
        for connection in self:
            while connection.unsent and self._sent(connection, connection.unsent[0]):
                connection.unsent.popleft()
            silent = now - connection.heard
            if silent > self._timing.patience:
                self.remove(connection.identity)
            elif silent > self._timing.heartbeat and now - connection.pinged > self._timing.heartbeat:
                connection.pinged = now
                self.send(connection, {"type": "ping"}, may_be_lost=True)

    def drop_disconnected(self, now: float) -> None:
        """Remove connections whose other end is gone, or that were silent for ``Timing.silence``."""
        for connection in self:
            if now - connection.heard > self._timing.silence:
                self.remove(connection.identity)
            else:
                self.send(connection, {"type": "ping"}, may_be_lost=True)

    def _sent(self, connection: Connection, message: Sequence[bytes]) -> bool:
        """Whether ZeroMQ accepted the message; removes a connection that is gone."""
        large = len(message) > 2
        try:
            tracker = self._router.send_multipart(message, zmq.DONTWAIT, copy=not large, track=large)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.remove(connection.identity)
            return False
        if large:
            connection.large = tracker
        return True
