"""The server process that this Blender started: its start, its ready line, its last words, its end."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import BinaryIO

from ..client.keys import ServerAddress
from ..errors import AddonError
from .local_backend import LocalBackend
from .python_finder import clean_environment

PORT_TAKEN = 9
OUT_OF_MEMORY = 5
MISSING_PART = 7
_LAST_BYTES = 4096
LOWER_PRIORITY = 5


class ServerProcess:
    """``python -m backend serve`` as a child process.

    It is in a session of its own: what ends Blender with its terminal is no signal for it.

    Its log is written anew.

    Raises
    ------
    AddonError : ``cannot_start`` where the operating system refuses to start it.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.owner_token = secrets.token_hex(16)
        self._address: ServerAddress | None = None
        python, source = backend.python, backend.source
        variables = {"PYTHONUNBUFFERED": "1", "LIKENESS_OWNER_TOKEN": self.owner_token}
        if source is not None:
            variables["PYTHONPATH"] = str(source)
        try:
            with _emptied(backend.log) as stderr:
                self._process = subprocess.Popen(
                    [str(python), "-P", "-m", "backend", "serve", "--parent", str(os.getpid()), *backend.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,
                    env=clean_environment() | variables,
                    cwd=None if source is None else str(source),
                    **_quietly(),
                )
        except OSError as error:
            raise AddonError(
                f"The backend could not be started ({error.strerror or error}).",
                _sentence(backend.remedy),
                "cannot_start",
            ) from error
        _yield_to_the_window(self._process.pid)
        self.started = time.monotonic()
        threading.Thread(target=self._read_ready_line, name="likeness-server-out", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def address(self) -> ServerAddress | None:
        """Where it listens, once it said so."""
        return self._address

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative where a signal ended it."""
        return self._process.poll()

    def why_it_ended(self) -> AddonError:
        """A sentence about a process that ended by itself, from its exit code and its last words."""
        code = self.exit_code
        lines = self._last_lines()
        said = " ".join(lines)[-400:]
        if code == PORT_TAKEN:
            return AddonError(
                said or "The port of the backend is taken, or another backend of yours runs.",
                "Stop the other one, or leave the port field in the preferences at 0 for any free one.",
                "port_taken",
            )
        if code == OUT_OF_MEMORY or code == -9:
            return AddonError(
                "The backend was ended by the system, most likely because memory ran out.",
                "Close other programs, and use fewer photos or a smaller texture.",
                "out_of_memory",
            )
        if code == MISSING_PART or "ModuleNotFoundError" in said or "No module named" in said:
            last = lines[-1] if lines else ""
            return AddonError(
                f"A part of the backend is missing ({last})." if last else "A part of the backend is missing.",
                _sentence(self.backend.remedy),
                "missing_part",
            )
        last = lines[-1] if lines else "it said nothing"
        return AddonError(
            f"The backend ended with code {code}: {last}",
            f"Try again; if it happens again, {self.backend.remedy}",
            "server_died",
        )

    def stop(self) -> None:
        """End the process and wait for that: ask it to, after three seconds make it.

        Asking is a signal; on Windows, which has none, it is the message ``shutdown`` that was sent before.
        Raises ``subprocess.TimeoutExpired`` where the system does not end it.
        """
        if self._process.poll() is None:
            if sys.platform != "win32":
                self._process.terminate()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)

    def _read_ready_line(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for raw in stream:
                try:
                    said = json.loads(raw)
                    if said["event"] == "ready":
                        self._address = ServerAddress(
                            said["endpoint"], said["public_key"], said.get("instance"), said.get("pid")
                        )
                except (ValueError, KeyError, TypeError):
                    continue
        self._process.wait()  # one that was left to others would stay behind as a zombie when it ends

    def _last_lines(self) -> list[str]:
        try:
            said = b"" if self.backend.log is None else self.backend.log.read_bytes()[-_LAST_BYTES:]
        except OSError:
            return []
        return [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _emptied(log: Path | None) -> BinaryIO:
    """The log for the process to write to, a file and no pipe: the process may outlive this one."""
    if log is not None:
        with contextlib.suppress(OSError):  # a log is not worth failing for
            log.parent.mkdir(parents=True, exist_ok=True)
            file = open(log, "ab")  # noqa: SIM115
            file.truncate(0)
            return file
    return open(os.devnull, "wb")


def _quietly() -> dict[str, int]:
    """Arguments for ``subprocess``: no console and a lower priority on Windows."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {}


def _yield_to_the_window(pid: int) -> None:
    """Elsewhere: a lower priority for the backend and what it starts, so that Blender's window stays smooth."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + LOWER_PRIORITY)
