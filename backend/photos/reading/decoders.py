"""The processes that decode photos: started when first needed, kept for the next photo, killed when one takes too long.

A decoder on a broken or hostile file may run for minutes or take all memory, and nothing in a thread can stop it.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from backend.photos.reading.decode import DAMAGED, NO_MEMORY, check_size
from backend.photos.reading.decoder_process import HEADER_LENGTH
from backend.photos.reading.settings import READING
from backend.photos.reading.source import DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits

TOO_SLOW = "It takes far longer to open than a photo does; save it as a new JPEG."
_SOURCE = Path(__file__).resolve().parents[3]
_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from backend.photos.reading.decoder_process import main; main()"


class Decoder:
    """One process that decodes one photo at a time.

    Raises ``OSError`` where the system starts no more processes.
    """

    def __init__(self) -> None:
        # Nothing of the environment, and no look at installed packages: it starts in a third of the time.
        paths = [str(_SOURCE), *(os.path.abspath(path) for path in sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._greeted = False
        self._too_slow = False
        self.owner = os.getpid()
        with suppress(OSError, ImportError, AttributeError):  # Linux has it; fewer turns between the processes
            import fcntl

            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, READING.pipe_bytes)

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def decode(self, source: PhotoSource, limits: ReadLimits) -> DecodedPhoto:
        """One photo; the process is gone if this raises anything but what is the file's fault.

        Raises
        ------
        PhotoUnreadableError : with a sentence for the person.
        RuntimeError : the process does not start.
        """
        try:
            return self._decode(source, limits)
        except PhotoUnreadableError:
            raise
        except (EOFError, OSError) as error:
            code = self._exit_code()
            if not self._greeted:
                raise RuntimeError(f"the process that decodes photos does not start (exit code {code})") from error
            raise PhotoUnreadableError(self._sentence(code)) from error
        except BaseException:
            self.kill()  # what it still says would be taken for the next photo's
            raise

    def kill(self, too_slow: bool = False) -> None:
        """End the process at once, from any thread; a ``decode`` under way ends."""
        self._too_slow |= too_slow
        self._process.kill()

    def close(self) -> None:
        """Kill the process and wait for it."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()

    def _decode(self, source: PhotoSource, limits: ReadLimits) -> DecodedPhoto:
        request: dict[str, Any] = {"limits": asdict(limits)}
        if source.path is not None:
            request["path"] = os.path.abspath(source.path)  # the process may have been started elsewhere
        else:
            check_size(len(source.data), limits)
            request["bytes"] = len(source.data)
        encoded = json.dumps(request).encode()
        if not self._greeted:
            self._answer()
            self._greeted = True
        self._process.stdin.write(HEADER_LENGTH.pack(len(encoded)) + encoded)
        self._process.stdin.write(source.data or b"")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise PhotoUnreadableError(answer["error"])
        width, height = answer["width"], answer["height"]
        self._read(len(f"P6\n{width} {height}\n255\n"))  # what comes before the pixels in a PPM
        pixels = np.empty((height, width, 3), np.uint8)
        room = memoryview(pixels).cast("B")
        while room:
            count = self._process.stdout.readinto1(room)
            if not count:
                raise EOFError
            room = room[count:]
        return DecodedPhoto(source.name, pixels, tuple(answer["source_size"]), answer["focal_px"])

    def _answer(self) -> dict[str, Any]:
        (length,) = HEADER_LENGTH.unpack(self._read(HEADER_LENGTH.size))
        return json.loads(self._read(length))

    def _read(self, size: int) -> bytes:
        data = self._process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _exit_code(self) -> int:
        """Of the process, which closed its end."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(READING.end_seconds)
        self.kill()
        return self._process.wait()

    def _sentence(self, exit_code: int) -> str:
        if self._too_slow or exit_code == -getattr(signal, "SIGXCPU", 0):
            return TOO_SLOW
        if exit_code == -getattr(signal, "SIGKILL", 0):  # the system does this when memory runs out
            return NO_MEMORY
        return DAMAGED


class _Idle:
    """Decoders that wait for the next photo, of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoders: list[Decoder] = []

    def take(self) -> Decoder:
        """One that waits, or a new one."""
        with self._lock:
            while self._decoders:
                decoder = self._decoders.pop()
                if decoder.owner == os.getpid() and decoder.alive:  # a fork has its parent's in its list
                    return decoder
        return Decoder()

    def give_back(self, decoder: Decoder) -> None:
        """Keep it for the next photo where it lives."""
        with self._lock:
            if decoder.alive:
                self._decoders.append(decoder)
                return
        decoder.close()

    def close(self) -> None:
        """End all."""
        with self._lock:
            while self._decoders:
                decoder = self._decoders.pop()
                if decoder.owner == os.getpid():
                    decoder.close()


idle = _Idle()
atexit.register(idle.close)


def start_decoders(count: int) -> None:
    """Have that many decoders wait for photos, so that the first ones need not wait for them."""
    started = [idle.take() for _ in range(count)]
    for decoder in started:
        idle.give_back(decoder)
