"""Child processes with limits on memory and time, both sides of their channel, and the allocator's settings.

A decoder may run for minutes or take all memory on a broken or hostile file, and a thread cannot be stopped: a process
can. Messages have the same form in both directions: the length of a header (4 bytes, little endian), the header in
JSON, and the data announced by the header. ``bytes`` in a request is the length of the data after it. The first answer
is empty and means that the process runs.

By default glibc requests every array above some megabytes from the system and returns it when freed, and its pages are
cleared each time: a third of the texture stage's processor time. Here it keeps memory that will be reused soon; without
effect elsewhere.
"""

import ctypes
import gc
import itertools
import json
import math
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows; there the parent enforces the time limit
    resource = None

HEADER_LENGTH = struct.Struct("<I")
Request = tuple[dict[str, Any], bytes]


class ParentLine:
    """Message channel over the original standard input and output; anything that libraries print is discarded.

    The process exits when the parent is gone, whatever it is doing.

    Attributes
    ----------
    outgoing : stream for the data after an answer; flush it.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
        incoming, self.outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)
        if resource is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(incoming,), name="listener", daemon=True).start()
        self.answer({})

    def request(self) -> Request:
        """Wait for the next request; returns its header and data."""
        return self._requests.get()

    def answer(self, header: dict[str, Any]) -> None:
        """Send the header of an answer."""
        encoded = json.dumps(header).encode()
        self.outgoing.write(HEADER_LENGTH.pack(len(encoded)) + encoded)
        self.outgoing.flush()

    def _listen(self, incoming: BinaryIO) -> None:
        try:
            while len(prefix := incoming.read(HEADER_LENGTH.size)) == HEADER_LENGTH.size:
                header = json.loads(incoming.read(HEADER_LENGTH.unpack(prefix)[0]))
                self._requests.put((header, incoming.read(header.get("bytes", 0))))
        finally:  # also exits if memory for the sent data runs out
            os._exit(0)


MOST_OF_MEMORY = 0.75
"""Share of the machine's memory that the process of a head may use: the rest is for Blender and the system."""


def data_bytes() -> int:
    """Memory of this process as ``limit_memory`` counts it; 0 where the system does not tell."""
    with suppress(OSError):
        return 1024 * int(Path("/proc/self/status").read_text().partition("VmData:")[2].split()[0])
    return 0


def limit_memory(most_bytes: int) -> None:
    """Limit this process's memory, where the system enforces it (Linux)."""
    if resource is not None and sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def limit_time(seconds: float) -> None:
    """Limit processor time to ``seconds`` from now; then the system ends the process (SIGXCPU)."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


END_SECONDS = 5.0
"""Seconds, 1 to 30, allowed for a process to exit after its pipes are closed."""
PIPE_BYTES = 2**20
"""Bytes, 2^16 to 2^20 (Linux's maximum): larger pipes need fewer switches between the processes."""
_SOURCE = Path(__file__).resolve().parents[2]


class End(Enum):
    """Why a process that closed its pipes has ended."""

    TOO_SLOW = "too_slow"
    STOOD_STILL = "stood_still"
    NO_MEMORY = "no_memory"
    CRASHED = "crashed"


class LimitedProcess:
    """One process that answers requests; not thread-safe, except ``kill``.

    Parameters
    ----------
    module : its ``main()`` runs in the process; it should import little. ahead : modules that it will need.

    Attributes
    ----------
    owner : id of the process that started it; a forked child must not use it.

    Raises ``OSError`` if the system cannot start another process.
    """

    def __init__(self, module: str, *ahead: str) -> None:
        # Isolated and without the site module, Python starts in a third of the time.
        boot = f"import sys; sys.path[:] = sys.argv[1:]; import {', '.join((module, *ahead))}; {module}.main()"
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
        if self._too_slow and sys.platform == "linux":  # the system ends one that works too long
            return End.STOOD_STILL
        if self._too_slow or code == -getattr(signal, "SIGXCPU", 0):
            return End.TOO_SLOW
        if code == -getattr(signal, "SIGKILL", 0):  # sent by the system when memory runs out
            return End.NO_MEMORY
        return End.CRASHED

    def turns(self, count: int) -> Iterator[None]:
        """Turns of waiting for an answer: ``count``, and as many again while the process gets processor time, which has
        its own limit (Linux): a busy computer is no fault of the file."""
        used = self._ticks()
        while True:
            yield from itertools.repeat(None, count)
            if used == (used := self._ticks()):
                return

    def _ticks(self) -> int:
        """Processor time so far, in clock ticks; 0 where the system does not tell."""
        with suppress(OSError, ValueError, IndexError):
            return sum(map(int, Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return 0

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


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # from malloc.h
_KEPT = 2**31 - 1  # bytes of free memory kept at the heap's end; mallopt takes an int
_STEP = 1 << 26  # bytes by which the heap grows; one channel of a large texture is 16 MiB


@cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def keep_freed_memory() -> None:
    """Make this process keep freed memory, up to ``MOST_OF_MEMORY``. Call it before a reconstruction begins, which
    keeps what is alive then: the garbage of one before goes here."""
    gc.collect()
    memory = memory_bytes()
    if math.isfinite(memory):
        limit_memory(int(MOST_OF_MEMORY * memory))
    libc = _libc()
    if libc is not None:
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _STEP), (_M_ARENA_MAX, 1)):
            libc.mallopt(parameter, value)


def memory_bytes() -> float:
    """Memory of this machine, or of the control group that this process is in; infinite where the system does not
    tell."""
    sizes = [math.inf]
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # also of a group without a limit ("max")
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(sizes)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def release_freed_memory() -> None:
    """Return freed memory and garbage to the system, between two jobs."""
    gc.collect()
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
