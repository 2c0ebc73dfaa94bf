"""Inside a process that ``limited_process`` started: its line to the parent, and limits that the system holds it to.

Both directions speak in messages: the length of a header (4 bytes, little endian), the header in JSON, and what the
header says that follows. ``bytes`` in a request is the length of the data behind it. The first answer is empty: the
process runs.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import struct
import sys
import threading
import time
from typing import Any, BinaryIO

try:
    import resource
except ImportError:  # Windows; the parent's own limit on time holds there
    resource = None

HEADER_LENGTH = struct.Struct("<I")
Request = tuple[dict[str, Any], bytes]


class ParentLine:
    """What were standard input and output; whatever a library prints goes nowhere from now on.

    The process ends, whatever it is doing, when the parent is gone.

    Attributes
    ----------
    outgoing : for the data behind an answer; flush it.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's business
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
        """The next request's header and data; waits for it."""
        return self._requests.get()

    def answer(self, header: dict[str, Any]) -> None:
        """Send a header."""
        encoded = json.dumps(header).encode()
        self.outgoing.write(HEADER_LENGTH.pack(len(encoded)) + encoded)
        self.outgoing.flush()

    def _listen(self, incoming: BinaryIO) -> None:
        try:
            while len(prefix := incoming.read(HEADER_LENGTH.size)) == HEADER_LENGTH.size:
                header = json.loads(incoming.read(HEADER_LENGTH.unpack(prefix)[0]))
                self._requests.put((header, incoming.read(header.get("bytes", 0))))
        finally:  # no memory for the data that was sent is an end, too
            os._exit(0)


def limit_memory(most_bytes: int) -> None:
    """What this process may have at all, where the system enforces it (Linux)."""
    if resource is not None and sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most_bytes if hard == resource.RLIM_INFINITY else min(most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def limit_time(seconds: float) -> None:
    """Of the processor, from now on; the system ends the process then (SIGXCPU)."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
