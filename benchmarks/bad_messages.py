"""Broken and hostile messages: for ``bad_input.py`` one at a time, for ``soak.py`` in thousands.

They go to a server started as by ``serve``, but with the tests' scripted worker, on 127.0.0.1 only: from a client with
its key, from clients without, and as connections that begin a handshake and continue with something else.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/backend/service"))

import zmq
from memory import Watch
from service_client import ServerProcess, ServiceClient

VALID = (
    {"type": "ping"},
    {"type": "list"},
    {"type": "fetch", "job": "0" * 32},
    {"type": "cancel", "token": "t"},
    {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 3}]},
)
_LOOK_MILLISECONDS = 10
_STRANGER_SECONDS = 0.05
"""Seconds to wait for an answer to a client without a key."""


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Change a few bytes, delete a part, or repeat a part."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        way = draw.random()
        if way < 0.5 and place < len(changed):
            changed[place] = draw.randrange(256)
        elif way < 0.75:
            del changed[place : place + draw.randint(1, 20)]
        else:
            changed[place:place] = changed[place : place + draw.randint(1, 20)] or b"["
    return bytes(changed)


def malformed(draw: random.Random) -> tuple[bytes, ...]:
    """Frames of a randomly changed message."""
    return mutated(json.dumps(draw.choice(VALID)).encode(), draw), *[b"abc"] * draw.choice((0, 0, 1, 2))


def hostile_messages() -> Iterator[tuple[bytes, ...]]:
    """Frames of messages with more nesting, parts or bytes than any valid message."""
    submit = {**VALID[-1], "photos": [{"name": str(number), "bytes": 1} for number in range(65)]}
    yield (b"[" * 60_000,)
    yield (b'{"type":' * 6_000,)
    yield (b'{"type": "ping"' + b" " * 70_000 + b"}",)
    yield (json.dumps(submit).encode(), *[b"a"] * 65)
    yield (b'{"type": "ping"}', *[b""] * 5_000)
    for number in ("9" * 400, "-" + "9" * 5_000, "1e400", "NaN", "-Infinity"):
        yield json.dumps(VALID[-1]).replace("3", number).encode(), b"abc"


def unknown_client(server: ServerProcess, draw: random.Random) -> ServiceClient:
    """Connect a client with unknown keys, or without any."""
    keys = tuple(key.decode() for key in zmq.curve_keypair())
    return ServiceClient(server.endpoint, server.public_key, keys if draw.random() < 0.7 else None)


def say(client: ServiceClient, draw: random.Random) -> bool:
    """Send a valid message; False where the connection takes no more."""
    try:
        client.socket.send_multipart([json.dumps(draw.choice(VALID)).encode()], zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def half_handshake(server: ServerProcess, draw: random.Random) -> socket.socket:
    """Open a connection that begins ZeroMQ's greeting and continues with random bytes, or stops; it stays open."""
    host, port = server.endpoint.removeprefix("tcp://").rsplit(":", 1)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + b"\x00" + bytes(31)
    line = socket.create_connection((host, int(port)), timeout=5)
    line.sendall(greeting[: draw.randrange(len(greeting) + 1)] + draw.randbytes(draw.choice((0, 0, 7, 200))))
    return line


class MessageReader:
    """A monitored server that gets one bad message after the other."""

    def __init__(self, folder: Path, seed: int, watch: Watch) -> None:
        """``folder``: for the server's keys, jobs and log; it is made here."""
        folder.mkdir(parents=True)
        self._draw, self._watch, self._said = random.Random(seed), watch, 0
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self._server = ServerProcess(folder / "server", stderr=log)
        self._known = self._server.client()
        self._lines: list[socket.socket] = []

    def read(self, way: str, frames: tuple[bytes, ...], seconds: float, clock: float) -> tuple[str, str, float]:
        """Send one message. Returns ``read``, ``refused``, ``traceback`` or ``hang``; the answer; processor time in
        seconds.

        ``way``: ``known``, ``stranger`` or ``half handshake``; only the first sends ``frames``. The message counts as
        processed when a later ping of the known client is answered. More than ``seconds`` of processor time or
        ``clock``
        seconds of wall time is a hang.
        """
        start, before = time.monotonic(), self._watch.look(self._server.process.pid)
        if way == "known":
            self._known.send_raw(*frames)
        elif way == "stranger":
            client = unknown_client(self._server, self._draw)
            say(client, self._draw)
            answered = bool(client.socket.poll(1000 * _STRANGER_SECONDS))
            client.close()
            if answered:
                return "traceback", "a stranger was answered", 0.0
        else:
            self._lines = [*self._lines[-20:], half_handshake(self._server, self._draw)]
        self._said += 1
        request, took, answers = str(self._said), 0.0, []
        self._known.send({"type": "ping", "request": request})
        while not (answers and answers[-1].header.get("request") == request):
            took = self._watch.look(self._server.process.pid) - before
            if self._server.process.poll() is not None:
                return "traceback", f"the server ended with code {self._server.process.returncode}", took
            if took > seconds or time.monotonic() - start > clock:
                return "hang", "", took
            if self._known.socket.poll(_LOOK_MILLISECONDS):
                answers.append(self._known.receive())
        if "Traceback" in self._log.read_text(errors="replace"):
            text = self._log.read_text(errors="replace")
            self._log.write_text("")
            return "traceback", text, took
        said = [answer for answer in answers[:-1] if answer.type == "error"]
        return ("refused" if said or way != "known" else "read"), str([error["code"] for error in said]), took

    def close(self) -> None:
        """Stop the server."""
        for line in self._lines:
            line.close()
        self._server.close()


def ways(count: int, draw: random.Random) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """(way, frames) of ``count`` messages for ``MessageReader.read``: six of ten from the known client."""
    makers: tuple[tuple[str, Callable[[], tuple[bytes, ...]]], ...] = (
        *[("known", lambda: malformed(draw))] * 6,
        *[("stranger", tuple)] * 2,
        *[("half handshake", tuple)] * 2,
    )
    for number in range(count):
        way, make = makers[number % len(makers)]
        yield way, make()
