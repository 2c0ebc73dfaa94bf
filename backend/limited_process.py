"""A process for work that nothing in a thread can stop: it can be killed, and its end says why (see ``limited_child``).

A decoder on a broken or hostile file may run for minutes or take all memory.
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
"""Seconds, 1 to 30, that a process has to end once its pipes are closed."""
PIPE_BYTES = 2**20
"""Bytes, 2^16 to 2^20 (the most that Linux gives): fewer turns between the processes."""
_SOURCE = Path(__file__).resolve().parents[1]


class End(Enum):
    """Why a process that closed its pipes is gone."""

    TOO_SLOW = "too_slow"
    NO_MEMORY = "no_memory"
    CRASHED = "crashed"


class LimitedProcess:
    """One process that answers requests; not for several threads at a time, except ``kill``.

    Parameters
    ----------
    module : its ``main()`` is what the process runs; it should import little.

    Attributes
    ----------
    owner : id of the process that started it; a fork must leave it alone.

    Raises ``OSError`` where the system starts no more processes.
    """

    def __init__(self, module: str) -> None:
        # Nothing of the environment, and no look at installed packages: it starts in a third of the time.
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
        with suppress(OSError, ImportError, AttributeError):  # Linux has it
            import fcntl

            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """A request, and the data behind it. Raises ``EOFError`` or ``OSError`` when the process is gone."""
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
        """The next answer's header. Raises ``EOFError`` or ``OSError`` when the process is gone."""
        (length,) = HEADER_LENGTH.unpack(self.read(HEADER_LENGTH.size))
        return json.loads(self.read(length))

    def read(self, size: int) -> bytes:
        """So many bytes of what follows an answer; raises as ``answer``."""
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def read_into(self, room: memoryview) -> None:
        """Fill bytes with what follows an answer; raises as ``answer``."""
        while room:
            count = self._process.stdout.readinto1(room)
            if not count:
                raise EOFError
            room = room[count:]

    def end(self) -> End:
        """Why the process ended, of which ``answer`` or ``send`` told that it is gone.

        Raises ``RuntimeError`` where it never ran.
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
        if code == -getattr(signal, "SIGKILL", 0):  # the system does this when memory runs out
            return End.NO_MEMORY
        return End.CRASHED

    def kill(self, too_slow: bool = False) -> None:
        """End the process at once, from any thread; who waits for it is told."""
        self._too_slow |= too_slow
        self._process.kill()

    def wait(self) -> None:
        """Until the process is gone."""
        self._process.wait()

    def close(self) -> None:
        """Kill the process and wait for it."""
        self.kill()
        self.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()
