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
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from ..client.keys import ServerAddress
from ..errors import AddonError
from .child import start_backend

PORT_TAKEN = 9
OUT_OF_MEMORY = 5
MISSING_PART = 7
_KEPT_LINES = 400
LOWER_PRIORITY = 5


class ServerProcess:
    """``python -m backend serve`` as a child process.

    Parameters
    ----------
    python : interpreter of the backend's environment.
    source : folder that holds the package ``backend``, or None where the environment finds it by itself.
    arguments : for ``serve``. log : file that gets what the server logs, written anew.

    Raises
    ------
    AddonError : ``cannot_start`` where the operating system refuses to start it.
    """

    def __init__(
        self, python: Path, source: Path | None, arguments: Sequence[str] = (), log: Path | None = None
    ) -> None:
        self.owner_token = secrets.token_hex(16)
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._address: ServerAddress | None = None
        self._log = log
        self._process = start_backend(
            python,
            source,
            ["serve", "--parent", str(os.getpid()), *arguments],
            subprocess.PIPE,
            _quietly(),
            {"LIKENESS_OWNER_TOKEN": self.owner_token},
        )
        _yield_to_the_window(self._process.pid)
        self.started = time.monotonic()
        self._readers = [
            threading.Thread(target=self._read_ready_line, name="likeness-server-out", daemon=True),
            threading.Thread(target=self._read_log, name="likeness-server-log", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

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
        for reader in self._readers:
            reader.join(0.5)
        said = " ".join(line for line in self._lines if line)[-400:]
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
            last = self._lines[-1] if self._lines else ""
            return AddonError(
                f"A part of the backend is missing ({last})." if last else "A part of the backend is missing.",
                "Choose Repair in the extension's preferences.",
                "missing_part",
            )
        last = self._lines[-1] if self._lines else "it said nothing"
        return AddonError(
            f"The backend ended with code {code}: {last}",
            "Try again; if it happens again, choose Repair in the extension's preferences.",
            "server_died",
        )

    def stop(self, wait: bool = True) -> None:
        """End the process: ask it to, after three seconds make it. Without ``wait`` a thread does that.

        Asking is a signal; on Windows, which has none, it is the message ``shutdown`` that was sent before.
        """
        if not wait:
            threading.Thread(target=self.stop, name="likeness-server-stop", daemon=True).start()
            return
        if self._process.poll() is None:
            if sys.platform != "win32":
                self._process.terminate()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        for reader in self._readers:
            reader.join(1)

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
                    self._lines.append(raw.decode("utf-8", "replace").rstrip())

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        try:
            log = open(self._log, "w", encoding="utf-8") if self._log is not None else None  # noqa: SIM115
        except OSError:  # a log is not worth failing for
            log = None
        with self._process.stderr as stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip()
                self._lines.append(line)
                if log is not None:
                    print(line, file=log, flush=True)
        if log is not None:
            log.close()


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
