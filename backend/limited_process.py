"""Run work in a killable child process with resource limits, and report why it ended (see ``limited_child``).

A decoder may run for minutes or take all memory on a broken or hostile file, and a thread cannot be stopped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from backend.limited_child import HEADER_LENGTH

END_SECONDS = 5.0
"""Seconds, 1 to 30, allowed for a process to exit after its pipes are closed."""
PIPE_BYTES = 2**20
"""Bytes, 2^16 to 2^20 (Linux's maximum): larger pipes need fewer switches between the processes."""
_SOURCE = Path(__file__).resolve().parents[1]


class End(Enum):
    """Why a process that closed its pipes has ended."""

    TOO_SLOW = "too_slow"
    NO_MEMORY = "no_memory"
    CRASHED = "crashed"


class LimitedProcess:
    """One process that answers requests; not thread-safe, except ``kill``.

    Parameters
    ----------
    module : its ``main()`` runs in the process; it should import little.

    Attributes
    ----------
    owner : id of the process that started it; a forked child must not use it.

    Raises ``OSError`` if the system cannot start another process.
    """

    def __init__(self, module: str) -> None:
        # Isolated and without the site module, Python starts in a third of the time.
        boot = f"import sys; sys.path[:] = sys.argv[1:]; from {module} import main; main()"
        paths = [str(_SOURCE), *(os.path.abspath(path) for path in sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", boot, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._module = module
        self._greeted = False
        self._too_slow = False
        self.owner = os.getpid()
        with suppress(OSError, ImportError, AttributeError):  # Linux only
            import fcntl

            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Send a request and the data after it. Raises ``EOFError`` or ``OSError`` if the process is gone."""
        if data:
            header = header | {"bytes": len(data)}
        encoded = json.dumps(header).encode()
        if not self._greeted:
            self.answer()
            self._greeted = True
        self._process.stdin.write(HEADER_LENGTH.pack(len(encoded)) + encoded)
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Receive the next answer's header. Raises ``EOFError`` or ``OSError`` if the process is gone."""
        (length,) = HEADER_LENGTH.unpack(self.read(HEADER_LENGTH.size))
        return json.loads(self.read(length))

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes of the data after an answer; raises as ``answer``."""
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def read_into(self, room: memoryview) -> None:
        """Fill ``room`` with the data after an answer; raises as ``answer``."""
        while room:
            count = self._process.stdout.readinto1(room)
            if not count:
                raise EOFError
            room = room[count:]

    def end(self) -> End:
        """Why the process ended, after ``answer`` or ``send`` raised.

        Raises ``RuntimeError`` if it never started.
        """
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        if not self._greeted:
            raise RuntimeError(f"a process for {self._module} does not start (exit code {code})")
        if self._too_slow or code == -getattr(signal, "SIGXCPU", 0):
            return End.TOO_SLOW
        if code == -getattr(signal, "SIGKILL", 0):  # sent by the system when memory runs out
            return End.NO_MEMORY
        return End.CRASHED

    def kill(self, too_slow: bool = False) -> None:
        """Kill the process at once, from any thread; a waiting caller gets an error."""
        self._too_slow |= too_slow
        self._process.kill()

    def wait(self) -> None:
        """Wait until the process has ended."""
        self._process.wait()

    def close(self) -> None:
        """Kill the process and wait for it."""
        self.kill()
        self.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()
