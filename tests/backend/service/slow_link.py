"""A network between a client and a server that loses things, breaks, or is slow: a TCP relay on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

PIECE = 4096


class Link:
    """Relays connections to ``endpoint`` (``tcp://host:port``) of its own ``endpoint``.

    Attributes
    ----------
    up, down : bytes per second from and to the client, of each connection; None: as fast as it goes.
    swallow : whether what the client sends is lost from now on. swallowed : how many bytes were.
    sent_down : bytes that went to clients. accepted : connections so far.
    """

    def __init__(self, endpoint: str, up: float | None = None, down: float | None = None) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self.up, self.down = up, down
        self.swallow, self.swallowed, self.sent_down, self.accepted = False, 0, 0, 0
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break all connections that there are; those that follow at once stay."""
        broken, self._sockets = self._sockets, []
        for end in broken:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                far = socket.socket()
                for end in (near, far):  # so that what is slow is not hidden by the system's buffers
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PIECE)
                far.connect(self._target)
                self._sockets += [near, far]
                threading.Thread(target=self._relay, args=(near, far, self._upwards), daemon=True).start()
                threading.Thread(target=self._relay, args=(far, near, self._downwards), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, take: Callable[[bytes], float | None]) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(PIECE):
                rate = take(data)
                if rate is not None:
                    time.sleep(min(len(data) / rate, 0.25))  # so that another rate counts soon
                if not (self.swallow and take == self._upwards):
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _upwards(self, data: bytes) -> float | None:
        self.swallowed += len(data) * self.swallow
        return self.up

    def _downwards(self, data: bytes) -> float | None:
        self.sent_down += len(data)
        return self.down
