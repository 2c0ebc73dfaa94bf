"""The server process that this Blender started: start, ready line, last output, end."""

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

    It runs in its own session, so that a signal which ends Blender with its terminal does not reach it. Its log file is
    overwritten.

    Raises
    ------
    AddonError : ``cannot_start`` if the operating system refuses to start it.
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
            with _empty_log(backend.log) as stderr:
                self._process = subprocess.Popen(
                    [str(python), "-P", "-m", "backend", "serve", "--parent", str(os.getpid()), *backend.arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,
                    env=clean_environment() | variables,
                    cwd=None if source is None else str(source),
                    **_windows_arguments(),
                )
        except OSError as error:
            raise AddonError(
                f"The backend could not be started ({error.strerror or error}).",
                _sentence(backend.remedy),
                "cannot_start",
            ) from error
        _lower_priority(self._process.pid)
        self.started = time.monotonic()
        threading.Thread(target=self._read_ready_line, name="likeness-server-out", daemon=True).start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def address(self) -> ServerAddress | None:
        """Its address, once it has reported it."""
        return self._address

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while it runs, negative if a signal ended it."""
        return self._process.poll()

    def exit_sentence(self) -> AddonError:
        """A sentence about a process that ended by itself, from its exit code and its last output."""
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
        """End the process and wait: first request, after three seconds kill.

        The request is a signal. Windows has none; there the message ``shutdown`` was sent before. Raises
        ``subprocess.TimeoutExpired`` if the system does not end the process.
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
        self._process.wait()  # reap it, otherwise a server left to others would become a zombie

    def _last_lines(self) -> list[str]:
        try:
            said = b"" if self.backend.log is None else self.backend.log.read_bytes()[-_LAST_BYTES:]
        except OSError:
            return []
        return [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _empty_log(log: Path | None) -> BinaryIO:
    """An empty log file for the process to write to. A file, not a pipe, because the process may outlive this one."""
    if log is not None:
        with contextlib.suppress(OSError):  # a missing log is not worth failing for
            log.parent.mkdir(parents=True, exist_ok=True)
            file = open(log, "ab")  # noqa: SIM115
            file.truncate(0)
            return file
    return open(os.devnull, "wb")


def _windows_arguments() -> dict[str, int]:
    """Windows: ``subprocess`` arguments for no console and a lower priority."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {}


def _lower_priority(pid: int) -> None:
    """Other systems: lower the priority of the backend and its children, so that Blender's window stays responsive."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0) + LOWER_PRIORITY)
