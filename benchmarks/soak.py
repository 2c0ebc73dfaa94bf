"""Attacks on the service and on the extension's reader: python benchmarks/soak.py [--share 1.0] [--seed 1] [--json]

Starts a server with a runner that does what it is told (``tests/backend/service/scripted_runner.py``), on loopback.
Parts: 4,000 malformed messages with a known key, 1,500 without one, 600 half handshakes, 20 times the worker is killed
(``kill -9``) while it works, 4,000 results with something changed for the extension's reader. After each part on the
server a job has to work. ``--share 0.1`` does a tenth of everything. It prints how long each part took; none may take
longer than ``MOST_SECONDS``. Broken photos, videos, models and takes: ``benchmarks/bad_input.py``.

Figures for each part: how many, seconds, what was answered or raised. Exit code 1 where anything but a sentence came.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "backend" / "service")]

import zmq  # noqa: E402
from service_client import ServerProcess, ServiceClient, children, wait_until  # noqa: E402

from blender_addon.errors import AddonError  # noqa: E402
from blender_addon.protocol.result import decode_result  # noqa: E402

MOST_SECONDS = 300.0
"""Of one part."""
COUNTS = {"with_key": 4000, "without_key": 1500, "half_handshakes": 600, "kills": 20, "results": 4000}
SOUND = (
    {"type": "ping", "request": "r"},
    {"type": "list"},
    {"type": "hello", "protocol": 1, "client": "soak"},
    {"type": "submit", "token": "t", "photos": [{"name": "a.jpg", "bytes": 3}]},
    {"type": "transfer", "token": "t", "photos": [{"name": "a.jpg", "bytes": 3}]},
    {"type": "fetch", "job": "0" * 32},
    {"type": "cancel", "token": "t"},
    {"type": "forget", "job": "0" * 32},
    {"type": "shutdown", "token": "guess"},
)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**400, 2**63, "", "x" * 300, "../../x", "\0", "\ud7ff", [], {}, [[]] * 3, {"a": {"b": 1}},
    [1] * 70, "-1", 1e308,
)  # fmt: skip


def changed(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value with one thing in it that is another."""
    value = copy.deepcopy(value)
    where: Any = value
    while True:
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        if not keys:
            return value
        key = chance.choice(keys)
        if isinstance(where[key], dict | list) and where[key] and chance.random() < 0.7:
            where = where[key]
            continue
        accident = chance.randrange(4)
        if accident == 0 and isinstance(where, dict):
            del where[key]
        elif accident == 1 and isinstance(where, dict):
            where[f"{key}_"] = chance.choice(ODD)
        else:
            where[key] = chance.choice(ODD)
        return value


def broken_frames(chance: random.Random) -> list[bytes]:
    """A message that is not as the protocol says, nearly always."""
    kind = chance.randrange(4)
    if kind == 0:
        return [chance.randbytes(chance.randrange(200)) for _ in range(chance.randrange(1, 5))]
    text = json.dumps(changed(chance.choice(SOUND), chance)).encode()
    if kind == 1:
        at = chance.randrange(len(text))
        text = text[:at] + chance.randbytes(chance.randrange(8)) + text[at + chance.randrange(8) :]
    return [text, *(chance.randbytes(chance.randrange(8)) for _ in range(chance.randrange(4)))]


def drained(client: ServiceClient, said: Counter[str], seconds: float) -> None:
    """Take what the server says for some time."""
    end = time.monotonic() + seconds  # heartbeats never end
    while time.monotonic() < end and client.socket.poll(seconds * 1000):
        header = json.loads(client.socket.recv_multipart()[0])
        said[header.get("code") or header["type"]] += 1


def works(server: ServerProcess, token: str) -> None:
    """A job has to work, else ``AssertionError``."""
    client = server.client()
    assert client.last_message(client.submit(token, "answer")["job"], 60.0).type == "result"
    server.close_clients()


def with_key(server: ServerProcess, count: int, chance: random.Random) -> Counter[str]:
    """Broken messages of a client that is let in."""
    said: Counter[str] = Counter()
    client = server.client()
    for number in range(count):
        client.send_raw(*broken_frames(chance))
        if number % 20 == 19:
            drained(client, said, 0.002)
    drained(client, said, 1.0)
    return said


def without_key(server: ServerProcess, count: int, chance: random.Random) -> Counter[str]:
    """Messages of clients with keys that nobody knows, or none; nobody may get an answer."""
    said: Counter[str] = Counter()
    for number in range(count // 15):
        public, secret = zmq.curve_keypair()
        client = server.connect((public.decode(), secret.decode())) if number % 2 else None
        if client is None:
            client = ServiceClient(server.endpoint, server.public_key, None)
            server.clients.append(client)
        for _ in range(15):
            with suppress(zmq.Again):
                client.socket.send_multipart(broken_frames(chance), zmq.DONTWAIT)
        said["sent"] += 15
        if client.socket.poll(100):
            said["internal"] += 1
        if number % 20 == 19:
            server.close_clients()
    server.close_clients()
    return said


def half_handshakes(server: ServerProcess, count: int, chance: random.Random) -> Counter[str]:
    """TCP connections that begin ZeroMQ's greeting and stop, sixty at a time."""
    host, port = server.endpoint.removeprefix("tcp://").split(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + b"\0" + bytes(31)
    opened: list[socket.socket] = []
    for _ in range(count):
        opened.append(socket.create_connection((host, int(port)), 10))
        part = greeting[: chance.randrange(len(greeting) + 1)] + chance.randbytes(chance.choice((0, 0, 300)))
        with suppress(OSError):
            opened[-1].sendall(part)
        if len(opened) >= 60:
            for one in opened:
                one.close()
            opened.clear()
    for one in opened:
        one.close()
    return Counter(opened=count)


def kills(server: ServerProcess, count: int, chance: random.Random) -> Counter[str]:
    """The worker is killed while it works; the job fails with a sentence and the next one works."""
    said: Counter[str] = Counter()
    client = server.client()
    for number in range(count):
        job = client.submit(f"killed{number}", "sleep 60")["job"]
        client.wait_until_running(job)
        for pid in children(server.process.pid):
            os.kill(pid, signal.SIGKILL)
        said[client.last_message(job)["code"]] += 1
        time.sleep(chance.random() * 0.2)
    assert wait_until(lambda: len(children(server.process.pid)) == 1, 20.0)
    if set(said) != {"worker_died"}:
        said["internal"] += 1
    return said


def results(server: ServerProcess, count: int, chance: random.Random) -> Counter[str]:
    """Results with something changed, read as the extension reads them."""
    client = server.client()
    message = client.last_message(client.submit("face", "face")["job"])
    assert message.type == "result"
    decode_result(message.header, message.buffers)
    said: Counter[str] = Counter()
    for _ in range(count):
        header, buffers = message.header, list(message.buffers)
        for _ in range(chance.randrange(1, 4)):
            if chance.random() < 0.7:
                header = changed(header, chance)
                continue
            number = chance.choice([at for at, buffer in enumerate(buffers) if buffer] or [0])
            if not buffers[number]:
                continue
            data = bytearray(buffers[number])
            for _ in range(8):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            buffers[number] = bytes(data) if chance.random() < 0.8 else bytes(data[: chance.randrange(len(data))])
        try:
            decode_result(header, buffers)
            said["read"] += 1
        except AddonError as error:
            said[error.code] += 1
        except Exception as error:
            said["internal"] += 1
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return said


PARTS: dict[str, Callable[[ServerProcess, int, random.Random], Counter[str]]] = {
    "with_key": with_key,
    "without_key": without_key,
    "half_handshakes": half_handshakes,
    "kills": kills,
    "results": results,
}


def soak(share: float, seed: int) -> dict[str, Any]:
    """Every part; figures by name."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "likeness", timing={"heartbeat": 0.4, "silence": 60.0})
        try:
            for name, part in PARTS.items():
                count, begun = max(int(COUNTS[name] * share), 15 if name == "without_key" else 1), time.monotonic()
                said = part(server, count, random.Random(f"{seed} {name}"))
                server.close_clients()
                seconds = time.monotonic() - begun
                works(server, f"after_{name}")
                figures[name] = {"count": count, "seconds": round(seconds, 1), "said": dict(said.most_common())}
                figures[name]["fine"] = "internal" not in said and seconds < MOST_SECONDS
                print(f"{name}: {figures[name]}", flush=True)
        finally:
            server.close()
    return figures


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of every part's count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    figures = soak(arguments.share, arguments.seed)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(part["fine"] for part in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
