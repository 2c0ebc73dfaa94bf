"""Child side of ``limited_process``: the message channel to the parent, and enforced resource limits.

Messages have the same form in both directions: the length of a header (4 bytes, little endian), the header in JSON, and
the data announced by the header. ``bytes`` in a request is the length of the data after it. The first answer is empty
and means that the process runs.
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
