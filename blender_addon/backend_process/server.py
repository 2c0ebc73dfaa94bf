"""The backend's process on this computer: how it is started, watched and ended."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..client.conversation import ServerAddress
from ..errors import AddonError
from ..shared.file_lock import is_locked
from .python_finder import clean_environment

END_SECONDS = 10.0
"""Time in which the servers of this user have to end."""
KILL_SECONDS = 3.0
"""Time that a server gets to end by itself."""
OUT_OF_MEMORY = 5
MISSING_PART = 7
_LAST_BYTES = 4096
LOWER_PRIORITY = 5


def wait_for_end(config: Path, seconds: float = END_SECONDS) -> None:
    """Wait until no server of this user runs on this computer, whoever started it; ``config`` is the service's
    configuration folder. Raises ``AddonError`` ``in_use`` if one still runs after ``seconds``."""
    until = time.monotonic() + seconds
    while any(map(is_locked, config.glob("jobs/*.lock"))):
        if time.monotonic() >= until:
            raise in_use()
        time.sleep(0.1)


def in_use() -> AddonError:
    """The error for changing a backend that others use."""
    return AddonError(
        "Another Blender, or another program, is using the backend; nothing was changed.",
        "Quit the other one, or wait until it has, and try again.",
        "in_use",
    )


@dataclass(frozen=True)
class LocalBackend:
    """A backend on this computer. ``python`` runs it, from ``source`` if it is not installed in ``python``.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda``.
    log : its log file.
    folder : where the extension installed it, None if it did not.
    """

    python: Path
    source: Path | None = None
    device: str = "auto"
    log: Path | None = None
    folder: Path | None = None

    @property
    def remedy(self) -> str:
        """What to do if the backend is broken, to be appended after a comma."""
        if self.folder is not None:
            return "choose Repair in the extension's preferences."
        return "install its packages again, or enter another Python in the extension's preferences."


class ServerProcess:
    """``python -m backend serve`` as a child process.

    It ends when its standard input is closed, by ``end`` or as Blender is gone. It runs in its own session, so that a
    signal which ends Blender with its terminal does not reach it. Its log file is overwritten. ``address`` is set once
    it has reported it.

    Raises
    ------
    AddonError : ``cannot_start`` if the operating system refuses to start it.
    """

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.address: ServerAddress | None = None
        python, source = backend.python, backend.source
        variables = {"PYTHONUNBUFFERED": "1"}
        if source is not None:
            variables["PYTHONPATH"] = str(source)
        try:
            with _empty_log(backend.log) as stderr:
                self._process = subprocess.Popen(
                    [str(python), "-P", "-m", "backend", "serve", "--stop-with-input", "--device", backend.device],
                    stdin=subprocess.PIPE,
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
    def exit_code(self) -> int | None:
        """Exit code; None while it runs, negative if a signal ended it."""
        return self._process.poll()

    def exit_sentence(self) -> AddonError:
        """A sentence about a process that ended by itself, from its exit code and its last output."""
        code = self.exit_code
        lines = self._last_lines()
        said = " ".join(lines)[-400:]
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

    def end(self) -> None:
        """Let the process end, and kill it after ``KILL_SECONDS``; returns at once."""
        self._process.stdin.close()
        killing = threading.Timer(KILL_SECONDS, self._process.kill)
        killing.daemon = True
        killing.start()

    def join(self) -> None:
        """Wait for the end. Raises ``AddonError`` ``busy`` if the system does not end it."""
        try:
            self._process.wait(KILL_SECONDS + 5.0)
        except subprocess.TimeoutExpired as error:
            raise AddonError(
                "The running backend does not stop.", "End it in the system's task manager.", "busy"
            ) from error

    def _read_ready_line(self) -> None:
        with self._process.stdout as stream:
            for raw in stream:
                try:
                    said = json.loads(raw)
                    if said["event"] == "ready":
                        self.address = ServerAddress(said["endpoint"], said["public_key"])
                except (ValueError, KeyError, TypeError):
                    continue
        self._process.wait()

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
