"""Pool of decoder processes: started on demand, reused for later photos, killed on time-out.

A decoder may run for minutes or take all memory on a broken or hostile file, and a thread cannot be stopped.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import asdict
from typing import Any

import numpy as np

from backend.limited_process import End, LimitedProcess
from backend.photos.reading.decode import DAMAGED, NO_MEMORY, check_size
from backend.photos.reading.source import DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits

TOO_SLOW = "It takes far longer to open than a photo does; save it as a new JPEG."
_SENTENCES = {End.TOO_SLOW: TOO_SLOW, End.NO_MEMORY: NO_MEMORY, End.CRASHED: DAMAGED}


class Decoder:
    """One process that decodes one photo at a time.

    Raises ``OSError`` if the system cannot start another process.
    """

    def __init__(self) -> None:
        self._process = LimitedProcess("backend.photos.reading.decoder_process")

    @property
    def usable(self) -> bool:
        """Whether this process can use it; a forked child inherits its parent's decoders, but cannot."""
        return self._process.owner == os.getpid() and self._process.alive

    def decode(self, source: PhotoSource, limits: ReadLimits) -> DecodedPhoto:
        """Decode one photo. The process is gone after any error that is not the file's fault.

        Raises
        ------
        PhotoUnreadableError : with a sentence for the user.
        RuntimeError : the process does not start.
        """
        try:
            return self._decode(source, limits)
        except PhotoUnreadableError:
            raise
        except (EOFError, OSError) as error:
            raise PhotoUnreadableError(_SENTENCES[self._process.end()]) from error
        except BaseException:
            self.kill()  # its late answer would be taken for the next photo's
            raise

    def kill(self, too_slow: bool = False) -> None:
        """Kill the process, from any thread; a running ``decode`` ends."""
        self._process.kill(too_slow)

    def close(self) -> None:
        """Kill the process and wait for it, if this process owns it."""
        if self._process.owner == os.getpid():
            self._process.close()

    def _decode(self, source: PhotoSource, limits: ReadLimits) -> DecodedPhoto:
        request: dict[str, Any] = {"limits": asdict(limits)}
        if source.path is not None:
            request["path"] = os.path.abspath(source.path)  # the decoder may have another working directory
        else:
            check_size(len(source.data), limits)
        self._process.send(request, source.data or b"")
        answer = self._process.answer()
        if "error" in answer:
            raise PhotoUnreadableError(answer["error"])
        width, height = answer["width"], answer["height"]
        self._process.read(len(f"P6\n{width} {height}\n255\n"))  # the PPM header
        pixels = np.empty((height, width, 3), np.uint8)
        self._process.read_into(memoryview(pixels).cast("B"))
        return DecodedPhoto(source.name, pixels, tuple(answer["source_size"]), answer["focal_px"])


class _Idle:
    """Pool of this process's idle decoders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoders: list[Decoder] = []

    def take(self) -> Decoder:
        """An idle decoder, or a new one."""
        with self._lock:
            while self._decoders:
                decoder = self._decoders.pop()
                if decoder.usable:
                    return decoder
        return Decoder()

    def return_to_pool(self, decoder: Decoder) -> None:
        """Return a decoder to the pool if it is still usable."""
        with self._lock:
            if decoder.usable:
                self._decoders.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        """Close all idle decoders."""
        with self._lock:
            while self._decoders:
                self._decoders.pop().close()


idle = _Idle()
atexit.register(idle.close)


def start_decoders(count: int) -> None:
    """Start ``count`` decoders in advance, so that the first photos need not wait."""
    started = [idle.take() for _ in range(count)]
    for decoder in started:
        idle.return_to_pool(decoder)
