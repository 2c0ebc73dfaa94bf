"""A small client for tests: what docs/protocol.md says, in plain pyzmq and json."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zmq

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
SECONDS = 60.0
"""How long a test waits for what has to come."""


@dataclass
class Message:
    """A received message."""

    header: dict[str, Any]
    buffers: list[bytes] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.header[name]

    @property
    def type(self) -> str:
        return self.header["type"]


class ServiceClient:
    """One connection."""

    def __init__(self, endpoint: str, server_key: str, keys: tuple[str, str] | None, rcvhwm: int = 1000) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndtimeo = int(1000 * SECONDS)
        self.socket.rcvhwm = rcvhwm
        if keys is not None:
            self.socket.curve_serverkey = server_key.encode()
            self.socket.curve_publickey, self.socket.curve_secretkey = (key.encode() for key in keys)
        self.socket.connect(endpoint)
        self.ignored: list[Message] = []
        self.tokens: set[str] = set()  # of jobs that were given

    def close(self) -> None:
        self.context.destroy(linger=0)

    def send(self, header: dict[str, Any], *buffers: bytes) -> None:
        if header["type"] in ("submit", "transfer"):
            self.tokens.add(header.get("token", ""))
        self.send_raw(json.dumps(header).encode(), *buffers)

    def send_raw(self, *frames: bytes) -> None:
        self.socket.send_multipart(frames)

    def receive(self, seconds: float = SECONDS) -> Message:
        """The next message that is no heartbeat; fails when none comes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.socket.poll(1 + left * 1000):
                header, *buffers = self.socket.recv_multipart()
                message = Message(json.loads(header), buffers)
                if message.type not in ("ping", "pong") or "request" in message.header:
                    return message
        raise AssertionError(f"nothing came in {seconds} s")

    def is_silent(self, seconds: float = 0.5) -> bool:
        """Whether nothing but heartbeats comes."""
        try:
            self.receive(seconds)
        except AssertionError:
            return True
        return False

    def wait_for(self, fits: Callable[[Message], bool], seconds: float = SECONDS) -> Message:
        """The first message that fits, among those that came while another was waited for, or a coming one."""
        for message in self.ignored:
            if fits(message):
                self.ignored.remove(message)
                return message
        end = time.monotonic() + seconds
        while True:
            message = self.receive(max(end - time.monotonic(), 0.01))
            if fits(message):
                return message
            self.ignored.append(message)

    def ask(self, header: dict[str, Any], *buffers: bytes) -> Message:
        """Send with a request and wait for the answer that carries it."""
        self.send({**header, "request": "ask"}, *buffers)
        return self.wait_for(lambda message: message.header.get("request") == "ask")

    def hello(self, **more: Any) -> Message:
        answer = self.ask({"type": "hello", "protocol": 2, "client": "test", **more})
        assert answer.type == "welcome", answer.header
        return answer

    def submit(self, token: str, *photos: str | bytes, **options: Any) -> Message:
        """Submit photos whose bytes are instructions; returns the answer."""
        data = [photo.encode() if isinstance(photo, str) else photo for photo in photos]
        header = {"type": "submit", "token": token, "photos": photo_headers(data)}
        if options:
            header["options"] = options
        return self.ask(header, *data)

    def last_message(self, job: str, seconds: float = SECONDS) -> Message:
        """The job's ``result`` or ``error``."""
        last = ("result", "error")
        return self.wait_for(lambda message: message.type in last and message.header.get("token") == job, seconds)

    def wait_until_running(self, job: str) -> Message:
        of_job = {"type": "progress", "token": job}.items()
        return self.wait_for(lambda message: of_job <= message.header.items() and message["stage"] != "starting")


def photo_headers(photos: Sequence[bytes]) -> list[dict[str, Any]]:
    return [{"name": f"photo {number}.jpg", "bytes": len(data)} for number, data in enumerate(photos)]


class ServerProcess:
    """A server in a process of its own, with the scripted runner."""

    def __init__(
        self, folder: Path, environment: dict[str, str] | None = None, stderr: IO[bytes] | None = None, **options: Any
    ) -> None:
        """``stderr``: where its log goes, or None for this process' own; ``options`` as ``serve_scripted.py`` takes."""
        self.folder = folder
        self.clients: list[ServiceClient] = []
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "serve_scripted.py"), str(folder), json.dumps(options)],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server ended with {self.process.wait()}"
        ready = json.loads(line)
        self.endpoint, self.public_key, self.instance = ready["endpoint"], ready["public_key"], ready["instance"]

    @property
    def jobs(self) -> Path:
        """The folder of this server's jobs."""
        return self.folder / "jobs" / self.instance

    def folder_of(self, token: str) -> Path:
        """The folder of a job."""
        return self.jobs / hashlib.sha256(token.encode()).hexdigest()[:32]

    def keys(self) -> tuple[str, str]:
        file = json.loads((self.folder / "client_key.json").read_text())
        return file["public_key"], file["secret_key"]

    def connect(self, keys: tuple[str, str] | None = None, **options: Any) -> ServiceClient:
        """A client that has not said hello."""
        self.clients.append(ServiceClient(self.endpoint, self.public_key, keys or self.keys(), **options))
        return self.clients[-1]

    def client(self, keys: tuple[str, str] | None = None) -> ServiceClient:
        """A client that was welcomed."""
        client = self.connect(keys)
        client.hello()
        return client

    def reason(self, seconds: float = SECONDS) -> str:
        """Wait until the server has stopped; why it did."""
        printed, _ = self.process.communicate(timeout=seconds)
        return json.loads(printed)["reason"]

    def close_clients(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()

    def close(self) -> None:
        self.close_clients()
        self.process.kill()
        self.process.communicate()


def children(pid: int) -> list[int]:
    """Process ids of the children of ``pid`` (Linux)."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(happens: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():
            return True
        time.sleep(0.02)
    return happens()
