"""A small server that speaks docs/protocol.md and does what a test tells it: the client is tested against the page.

As a program it stands in for ``python -m backend serve`` where a test needs a process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import zmq

Header = dict[str, Any]


class ScriptedServer:
    """ROUTER with CURVE on loopback.

    ``on_submit(server, peer, header, photos)`` decides what happens to a job; what ``on_cancel(server, peer, header)``
    does comes before the job's ``cancelled``.
    """

    def __init__(self, on_submit: Callable[[ScriptedServer, bytes, Header, list[bytes]], None] | None = None) -> None:
        self.instance = uuid.uuid4().hex
        self.seen: list[Header] = []
        self.photos: list[list[bytes]] = []
        self.silent = False
        self.silence_seconds = 15.0
        self.welcome: Header = {}
        self.on_submit = on_submit or (lambda server, peer, header, photos: None)
        self.on_cancel: Callable[[ScriptedServer, bytes, Header], None] = lambda server, peer, header: None
        self.public_key, secret = (key.decode() for key in zmq.curve_keypair())
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.curve_server = True
        self._socket.curve_publickey, self._socket.curve_secretkey = self.public_key.encode(), secret.encode()
        self.port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5)
        self._socket.close()
        self._context.term()

    def send(self, peer: bytes, header: Header, buffers: Sequence[bytes] = ()) -> None:
        """Only from ``on_submit`` or its like: sockets belong to their thread."""
        self._socket.send_multipart([peer, json.dumps(header).encode(), *buffers])

    def serve_one(self, wait_ms: int = 20) -> None:
        """Answer what comes within ``wait_ms``."""
        if self.silent:
            self._stopped.wait(wait_ms / 1000)
            return
        if not self._socket.poll(wait_ms):
            return
        peer, frame, *buffers = self._socket.recv_multipart()
        header = json.loads(frame)
        self.seen.append(header)
        self._answer(peer, header, buffers)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.serve_one()

    def _answer(self, peer: bytes, header: Header, buffers: list[bytes]) -> None:
        kind = header["type"]
        if kind == "hello":
            self.send(peer, self._welcome() | self.welcome)
        elif kind == "ping":
            self.send(peer, {"type": "pong"})
        elif kind in ("submit", "transfer"):
            self.photos.append(buffers)
            self.on_submit(self, peer, header, buffers)
        elif kind == "cancel":
            self.on_cancel(self, peer, header)
            said = {"code": "cancelled", "sentence": "The reconstruction was cancelled.", "advice": ""}
            self.send(peer, {"type": "error", "token": header["token"], **said})
        elif kind == "fetch":
            said = {"code": "unknown_job", "sentence": "There is no such job.", "advice": ""}
            self.send(peer, {"type": "error", "request": header["request"], "token": header["token"], **said})

    def _welcome(self) -> Header:
        return {
            "type": "welcome",
            "protocol": 2,
            "likeness": "0.2.0",
            "instance": self.instance,
            "capabilities": [],
            "something": "that only a later server says",
            "limits": {"header_bytes": 2**16, "frame_bytes": 2**20, "message_bytes": 2**21, "photos": 4},
            "heartbeat": {"interval_seconds": 0.2, "silence_seconds": self.silence_seconds},
        }


def progress(token: str, fraction: float, seconds_left: float | None = None) -> Header:
    """A progress header."""
    return {
        "type": "progress",
        "token": token,
        "stage": "dense",
        "fraction": fraction,
        "seconds_left": seconds_left,
        "sentence": "Aligning the photos with each other",
    }


def serve_as_process() -> None:
    """What ``python -m backend serve`` does, as far as a client sees: ready line, jobs that run for ever."""
    if "SCRIPTED_EXIT" in os.environ:
        print(os.environ.get("SCRIPTED_WORDS", "It went wrong."), file=sys.stderr)
        sys.exit(int(os.environ["SCRIPTED_EXIT"]))

    def submitted(server: ScriptedServer, peer: bytes, header: Header, photos: list[bytes]) -> None:
        server.send(peer, {"type": "queued", "request": "submit", "token": header["token"], "position": 0})
        server.send(peer, progress(header["token"], 0.25, 12.0))

    server = ScriptedServer(submitted)
    ready = {"event": "ready", "endpoint": server.endpoint, "public_key": server.public_key}
    print(json.dumps(ready), flush=True)
    input_ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), input_ended.set()), daemon=True).start()
    while not input_ended.is_set():
        server.serve_one(100)
    os._exit(0)


if __name__ == "__main__":
    serve_as_process()
