"""Multi-frame messages on a byte stream: on pipes between server and worker, and in result files.

A message is a little-endian uint32 (number of frames), a uint64 per frame (its length), and the frames.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

MOST_FRAMES = 4096
MOST_BYTES = 2**30


class BrokenFramesError(ValueError):
    """The stream ends within a message, or has another format."""


def write_frames(stream: BinaryIO, frames: Sequence[bytes | memoryview]) -> None:
    """Write one message and flush. Raises ``OSError``."""
    stream.write(struct.pack(f"<I{len(frames)}Q", len(frames), *(memoryview(frame).nbytes for frame in frames)))
    for frame in frames:
        stream.write(frame)
    stream.flush()


def read_frames(stream: BinaryIO) -> list[bytes] | None:
    """The next message; None at the stream's end. Raises ``BrokenFramesError`` or ``OSError``."""
    start = stream.read(4)
    if not start:
        return None
    (count,) = struct.unpack("<I", _exactly(stream, 4 - len(start), start))
    if count > MOST_FRAMES:
        raise BrokenFramesError(f"{count} frames")
    sizes = struct.unpack(f"<{count}Q", _exactly(stream, 8 * count))
    if sum(sizes) > MOST_BYTES:
        raise BrokenFramesError(f"{sum(sizes)} bytes")
    return [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, count: int, start: bytes = b"") -> bytes:
    data = start + stream.read(count) if count else start
    if len(data) != len(start) + count:
        raise BrokenFramesError("the stream ends within a message")
    return data
