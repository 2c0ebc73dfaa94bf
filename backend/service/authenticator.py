"""Authentication of clients: a ZAP handler (rfc.zeromq.org/spec/27) for CURVE, in its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Set

import zmq
from zmq.utils import z85

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_POLL_MS = 200
_log = logging.getLogger(__name__)


class Authenticator(threading.Thread):
    """Accepts or refuses connections for ZeroMQ. A message's ``User-Id`` is the client's public key.

    Parameters
    ----------
    context : the one of the guarded sockets; it can have one authenticator.
    clients : accepted public keys in Z85; all others are refused.
    """

    def __init__(self, context: zmq.Context, clients: Set[str]) -> None:
        super().__init__(name="authenticator", daemon=True)
        self._clients = frozenset(clients)
        self._stopping = threading.Event()
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(ZAP_ENDPOINT)

    def run(self) -> None:
        """Answer until ``stop`` is called."""
        with self._socket:
            while not self._stopping.is_set():
                if self._socket.poll(_POLL_MS):
                    self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def stop(self) -> None:
        """End the thread; existing connections stay."""
        self._stopping.set()
        self.join()

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """Version, request id, status, text, user id, metadata."""
        request = question[1] if len(question) > 1 else b""
        if len(question) == 7 and question[0] == b"1.0" and question[5] == b"CURVE" and len(question[6]) == 32:
            key = z85.encode(question[6])
            if key.decode() in self._clients:
                return [b"1.0", request, b"200", b"OK", key, b""]
        _log.warning("refused a client without a known key")
        return [b"1.0", request, b"400", b"Unknown key", b"", b""]
