"""The process that decodes photos, started by ``decoders`` only, so that a file that never ends can be killed.

On standard input come requests, on what was standard output go answers. Both begin with the length of a header (4
bytes, little endian) and the header in JSON. A request has ``limits``, and a ``path`` or ``bytes``, the length of the
file that follows. An answer has ``error``, a sentence, or ``width`` and ``height`` of the picture that follows as PPM,
``source_size`` and ``focal_px``. The first answer is empty: the process runs.
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
from pathlib import Path
from typing import Any, BinaryIO

from backend.photos.reading.decode import NO_MEMORY, check_size, decode, read_file
from backend.photos.reading.source import PhotoUnreadableError, ReadLimits

try:
    import resource
except ImportError:  # Windows; the parent's own limit on time holds there
    resource = None

HEADER_LENGTH = struct.Struct("<I")
Request = tuple[dict[str, Any], bytes]


def main() -> None:
    """Answer requests until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's business
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # whatever a decoder prints
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answer(outgoing, {})
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, requests), name="listener", daemon=True).start()
    while True:
        header, data = requests.get()
        _serve(header, data, outgoing)
        del data


def _listen(incoming: BinaryIO, requests: queue.SimpleQueue[Request]) -> None:
    """Pass requests on; ends the process, whatever it is doing, when the parent is gone."""
    try:
        while len(prefix := incoming.read(HEADER_LENGTH.size)) == HEADER_LENGTH.size:
            header = json.loads(incoming.read(HEADER_LENGTH.unpack(prefix)[0]))
            requests.put((header, incoming.read(header.get("bytes", 0))))
    finally:  # no memory for the file that was sent is an end, too
        os._exit(0)


def _serve(header: dict[str, Any], data: bytes, outgoing: BinaryIO) -> None:
    limits = ReadLimits(**header["limits"])
    try:
        _limit_memory(limits)
        _limit_time(limits.cpu_seconds)
        if "path" in header:
            data = read_file(Path(header["path"]), limits)
        check_size(len(data), limits)
        picture = decode(data, limits, lambda pixels: _limit_time(limits.seconds_for(pixels)))
        image = picture.image
    except PhotoUnreadableError as error:
        return _answer(outgoing, {"error": str(error)})
    except MemoryError:
        return _answer(outgoing, {"error": NO_MEMORY})
    told = {"source_size": picture.source_size, "focal_px": picture.focal_px}
    _answer(outgoing, {"width": image.width, "height": image.height, **told})
    image.save(outgoing, "PPM")  # Pillow writes it without a copy, unlike bytes in Python
    outgoing.flush()


def _answer(outgoing: BinaryIO, header: dict[str, Any]) -> None:
    encoded = json.dumps(header).encode()
    outgoing.write(HEADER_LENGTH.pack(len(encoded)) + encoded)
    outgoing.flush()


def _limit_memory(limits: ReadLimits) -> None:
    if resource is not None and sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = limits.most_bytes if hard == resource.RLIM_INFINITY else min(limits.most_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _limit_time(seconds: float) -> None:
    """From now on; the system ends the process then (SIGXCPU)."""
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
