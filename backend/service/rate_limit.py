"""Limit on the bytes of incomplete messages per connection.

ZeroMQ delivers a multi-frame message when its last frame has arrived, and limits only the size of a frame, so a client
that keeps sending frames would fill the memory. On Linux the system counts the bytes that a connection has received. If
more than a message may have came since the last complete one, the connection is closed. The counts also show that a
message is arriving on a slow line. Other systems have no such counter.
"""

from __future__ import annotations

import logging
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import zmq
from zmq.utils.monitor import recv_monitor_message

_log = logging.getLogger(__name__)
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
        self._told: set[int] = set()
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
                self._told.add(int(frame.get(zmq.SRCFD)))

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
        self._told.clear()
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
        if descriptor in self._told:
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
