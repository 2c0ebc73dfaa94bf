"""The backend's process: where it is, how it is started, watched and ended.

Whether any server of this user runs on this computer, whoever started it (``server.lock`` in docs/protocol.md).

Start settings of a server on this computer, and what to do if it cannot start.

Start settings of the server in use, and which changed settings apply only at its next start.

The server process that this Blender started: start, ready line, last output, end.

Shut down the server that this Blender started, or leave it running for other clients.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..client.conversation import Connection
from ..client.keys import ServerAddress
from ..errors import AddonError
from ..shared.file_lock import is_locked
from .python_finder import clean_environment

END_SECONDS = 10.0
"""A server without clients ends within about five seconds."""


def wait_for_end(folder: Path, seconds: float = END_SECONDS) -> None:
    """Wait until no server runs. Raises ``AddonError`` ``in_use`` if one still runs after ``seconds``."""
    until = time.monotonic() + seconds
    while server_runs(folder):
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


def server_runs(folder: Path) -> bool:
    """Whether a server holds the lock of this configuration folder."""
    return is_locked(folder / "server.lock")


@dataclass(frozen=True)
class LocalBackend:
    """A backend on this computer. ``python`` runs it, from ``source`` if it is not installed in ``python``.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda``.
    port : on loopback, 0 for any free one.
    log : its log file.
    folder : where the extension installed it, None if it did not.
    button : name of the preferences button that reinstalls it.
    """

    python: Path
    source: Path | None = None
    device: str = "auto"
    port: int = 0
    log: Path | None = None
    folder: Path | None = None
    button: str = field(default="Repair", compare=False)

    @property
    def arguments(self) -> tuple[str, ...]:
        """Command-line arguments of ``serve``."""
        bind = ("--bind", f"tcp://127.0.0.1:{self.port}") if self.port else ()
        return ("--device", self.device, *bind)

    @property
    def remedy(self) -> str:
        """What to do if the backend is broken, to be appended after a comma."""
        if self.folder is not None:
            return f"choose {self.button} in the extension's preferences."
        return "install its packages again, or enter another Python in the extension's preferences."


@dataclass(frozen=True)
class KnownServer:
    """A server on this computer.

    Attributes
    ----------
    instance : id of its run.
    started : its start settings; None if another Blender started it. Then these are observed:
    port : where it listens.
    kind : ``cpu`` or ``cuda``, "" if not reported.
    """

    instance: str
    started: LocalBackend | None = None
    port: int = 0
    kind: str = ""

    def differs(self, wanted: LocalBackend) -> tuple[str, ...]:
        """Names of the settings that differ from ``wanted``: ``backend`` (its program), ``device``, ``port``."""
        if self.started is not None:
            before, after = self.started, wanted
            other = {
                "backend": (before.python, before.source) != (after.python, after.source),
                "device": before.device != after.device,
                "port": before.port != after.port,
            }
        else:
            other = {
                "device": bool(self.kind) and wanted.device not in ("auto", self.kind),
                "port": wanted.port not in (0, self.port),
            }
        return tuple(name for name, differs in other.items() if differs)


def pending_settings_sentence(names: tuple[str, ...], mine: bool, busy: bool) -> str:
    """A sentence about settings that apply from the next start; "" for none.

    mine : whether this Blender started the server.
    busy : whether a job of this Blender runs.
    """
    if not names:
        return ""
    sentence = f"What is set here ({', '.join(names)}) counts from the next start of the backend"
    if not mine:
        return f"{sentence}: once the other Blenders that use it have been quit."
    when = "with the next click after this job" if busy else "with the next click"
    return f"{sentence}: {when}, unless another Blender uses it; then quit that one first."


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
        self._address: ServerAddress | None = None
        python, source = backend.python, backend.source
        variables = {"PYTHONUNBUFFERED": "1"}
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


class Ending:
    """Shut down a server on a background thread: ask it, kill it if it does not answer, leave it if others still use
        it.

    ``connection`` is the connection to the server, or None. ``connect`` opens another one (or returns None); it is
    needed if the first broke, or is busy reading photos from a slow drive and does not respond.

    Attributes
    ----------
    stays : whether the server goes on for other clients; valid once ``over`` is true.
    """

    def __init__(
        self, process: ServerProcess, connection: Connection | None, connect: Callable[[], Connection | None]
    ) -> None:
        self._process, self._connection, self._connect = process, connection, connect
        self.stays = False
        self._thread = threading.Thread(target=self._run, name="likeness-server-stop", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Whether the shutdown has finished."""
        return not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the operating system failed to end the process."""
        return self.over and not self.stays and self._process.exit_code is None

    def join(self) -> None:
        """Wait until the shutdown has finished."""
        self._thread.join()

    def _run(self) -> None:
        if self._process.exit_code is None and self._process.address is not None:
            self.stays = self._asked()
        elif self._connection is not None:
            self._connection.close(0.0)
        if not self.stays:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.stop()

    def _asked(self) -> bool:
        """Whether the server answers that it stays for others; False if it ends or does not answer."""
        if self._connection is not None and self._connection.alive:
            stays = self._connection.shutdown()
            if not self._connection.alive:
                return stays
        another = self._connect()
        return another is not None and another.shutdown()
