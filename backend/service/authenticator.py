"""Lets known clients in: a ZAP handler (rfc.zeromq.org/spec/27) for CURVE, in a thread of its own."""

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
    """Answers ZeroMQ's question whether a connection may come in. A message's ``User-Id`` is the client's public key.

    Parameters
    ----------
    context : the one of the sockets to guard; it takes one authenticator.
    clients : public keys in Z85 that are let in; everybody else is refused.
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
        """End the thread; connections that are there stay."""
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
