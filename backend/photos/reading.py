"""Read photo files into sRGB pixels with limited time and memory.

A decoder may run for minutes or take all memory on a broken or hostile file, and a thread cannot be stopped. So files
are decoded in a pool of processes, started on demand, kept for later photos, killed on time-out.
"""

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from itertools import islice, product, repeat
from typing import Any

import cv2
import numpy as np

from backend.photos.collection import READING, DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits
from backend.photos.decoding import DAMAGED, NO_MEMORY, check_size
from backend.system.processes import End, LimitedProcess, usable_cores

TOO_SLOW = "It takes far longer to open than a photo does; save it as a new JPEG."
BUSY = "It was not read in time: the computer or its disk is busy; try again."
_SENTENCES = {End.TOO_SLOW: TOO_SLOW, End.STOOD_STILL: BUSY, End.NO_MEMORY: NO_MEMORY, End.CRASHED: DAMAGED}
_MESH_SENTENCES = _SENTENCES | {End.TOO_SLOW: "It takes far longer to open than a head does."}
MeshArrays = dict[str, np.ndarray]


class Decoder(LimitedProcess):
    """One process that decodes one photo at a time.

    Raises ``OSError`` if the system cannot start another process.
    """

    def __init__(self, *ahead: str) -> None:
        super().__init__("backend.photos.decoding", *ahead)

    @property
    def usable(self) -> bool:
        """Whether this process can use it; a forked child inherits its parent's decoders, but cannot."""
        return self.owner == os.getpid() and self.alive

    def decode(self, source: PhotoSource, limits: ReadLimits, as_mesh: bool = False) -> DecodedPhoto | MeshArrays:
        """Decode one photo, or a mesh. The process is gone after any error that is not the file's fault.

        Raises
        ------
        PhotoUnreadableError : with a sentence for the user.
        RuntimeError : the process does not start.
        """
        try:
            return self._decode(source, limits, as_mesh)
        except PhotoUnreadableError:
            raise
        except (EOFError, OSError) as error:
            raise PhotoUnreadableError((_MESH_SENTENCES if as_mesh else _SENTENCES)[self.end()]) from error
        except BaseException:
            self.kill()  # its late answer would be taken for the next photo's
            raise

    def close(self) -> None:
        """Kill the process and wait for it, if this process owns it."""
        if self.owner == os.getpid():
            super().close()

    def _decode(self, source: PhotoSource, limits: ReadLimits, as_mesh: bool) -> DecodedPhoto | MeshArrays:
        request: dict[str, Any] = {"limits": asdict(limits)}
        if as_mesh:
            request["mesh"] = os.path.splitext(source.name)[1][1:].lower()
        if source.path is not None:
            request["path"] = os.path.abspath(source.path)  # the decoder may have another working directory
        else:
            check_size(len(source.data), limits)
        self.send(request, source.data or b"")
        answer = self.answer()
        if "error" in answer:
            raise PhotoUnreadableError(answer["error"])
        if as_mesh:
            return {name: self._array(tuple(shape), kind) for name, kind, shape in answer["arrays"]}
        width, height = answer["width"], answer["height"]
        self.read(len(f"P6\n{width} {height}\n255\n"))  # the PPM header
        pixels = self._array((height, width, 3), "u1")
        return DecodedPhoto(source.name, without_screen(pixels), tuple(answer["source_size"]), answer["focal_px"])

    def _array(self, shape: tuple[int, ...], kind: str) -> np.ndarray:
        values = np.empty(shape, kind)
        self.read_into(memoryview(values).cast("B"))
        return values


TILE, LONGEST = 128, 8
"""Side of a window, and the longest distance of a print's dots that is looked for, pixels."""
SCREEN_LEVELS = 10.0
"""Levels of 255 of one wave in a quarter of the windows, 5 to 14: halftones of books have 14 to 33; 12 of 2,519
photos have 10 or more."""


def without_screen(pixels: np.ndarray) -> np.ndarray:
    """A photo of a print, (H, W, 3) uint8, without the regular dots of its ink; any other photo as it is."""
    if min(pixels.shape[:2]) < TILE:
        return pixels
    window = np.outer(np.hanning(TILE), np.hanning(TILE))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(TILE), np.fft.rfftfreq(TILE), indexing="ij")).ravel()
    starts = (np.linspace(0, size - TILE, 5).astype(int) for size in pixels.shape[:2])
    tiles = [pixels[y : y + TILE, x : x + TILE, 1].astype(float) for y, x in product(*starts)]
    waves = np.abs([np.fft.rfft2((tile - tile.mean()) * window).ravel() for tile in tiles]) * (frequency > 1 / LONGEST)
    typical = waves[waves.max(axis=1).argsort()[-len(tiles) // 4]]
    if 2 * typical.max() < SCREEN_LEVELS * window.sum():
        return pixels
    return cv2.GaussianBlur(pixels, (0, 0), 0.5 / frequency[typical.argmax()])


class _Idle:
    """Pool of this process's idle decoders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoders: list[Decoder] = []

    def take(self, *ahead: str) -> Decoder:
        """An idle decoder, or a new one that imports modules ``ahead``."""
        with self._lock:
            while self._decoders:
                decoder = self._decoders.pop()
                if decoder.usable:
                    return decoder
        return Decoder(*ahead)

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


Photo = DecodedPhoto | PhotoUnreadableError


def start_reading(count: int, *ahead: str) -> None:
    """Start the decoders for ``count`` files, and modules that they need, so that none need wait; returns at once."""
    for decoder in [idle.take(*ahead) for _ in range(min(count, READING.most_decoders, usable_cores()))]:
        idle.return_to_pool(decoder)


def read_photo(
    source: PhotoSource,
    limits: ReadLimits | None = None,
    waiting: Callable[[], None] = lambda: None,
    as_mesh: bool = False,
) -> DecodedPhoto | MeshArrays:
    """Decode one photo, or one mesh to the arrays that ``decoding`` names.

    Parameters
    ----------
    waiting : called ten times a second while decoding; an exception from it ends the decoding at once.

    Raises
    ------
    PhotoUnreadableError : with a sentence for the user, for any defect of the file.
    """
    photo = next(read_photos([source], limits, waiting, as_mesh))
    if isinstance(photo, PhotoUnreadableError):
        raise photo
    return photo


def read_photos(
    sources: Sequence[PhotoSource],
    limits: ReadLimits | None = None,
    waiting: Callable[[], None] = lambda: None,
    as_mesh: bool = False,
) -> Iterator[DecodedPhoto | MeshArrays | PhotoUnreadableError]:
    """Yield the photos in order; the next ones are decoded while the caller works on the current one.

    At most ``ReadingSettings.most_decoders`` photos are decoded ahead. ``waiting`` as in ``read_photo``.
    """
    limits = limits or ReadLimits()
    ahead = min(READING.most_decoders, usable_cores(), max(len(sources), 1))
    coming: deque[tuple[_Decoding, Future[Photo]]] = deque()
    left = iter(sources)
    with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="photo-reader") as pool:

        def fill_up() -> None:
            for source in islice(left, ahead - len(coming)):
                decoding = _Decoding(source, limits, as_mesh)
                coming.append((decoding, pool.submit(decoding.run)))

        try:
            fill_up()
            while coming:
                photo = coming[0][0].awaited(coming[0][1], waiting)
                coming.popleft()
                fill_up()
                yield photo
        finally:
            for decoding, _ in coming:
                decoding.end()


class _Decoding:
    """One photo being decoded; it can be ended from another thread."""

    def __init__(self, source: PhotoSource, limits: ReadLimits, as_mesh: bool) -> None:
        self._source, self._limits, self._as_mesh = source, limits, as_mesh
        self._lock = threading.Lock()
        self._decoder: Decoder | None = None
        self._ended = False

    def run(self) -> Photo:
        """Decode; returns errors of the file instead of raising them."""
        if self._source.left_out:
            return PhotoUnreadableError(self._source.left_out)
        if self._source.decoded is not None:
            return self._source.decoded
        with self._lock:
            if self._ended:
                return PhotoUnreadableError(BUSY)
            decoder = self._decoder = idle.take()
        try:
            return decoder.decode(self._source, self._limits, self._as_mesh)
        except PhotoUnreadableError as error:
            return error
        finally:
            with self._lock:
                self._decoder = None
            idle.return_to_pool(decoder)

    def turns(self, count: int) -> Iterator[None]:
        """As ``LimitedProcess.turns``; ``count`` before there is a decoder."""
        yield from repeat(None, 1)
        decoder = self._decoder
        yield from repeat(None, count - 1) if decoder is None else decoder.turns(count - 1)

    def awaited(self, future: Future[Photo], waiting: Callable[[], None]) -> Photo:
        """What ``run`` returns in another thread; it is ended when it takes too long."""
        # Count ticks instead of reading the clock, so that a run stopped with Ctrl-Z can continue.
        for _ in self.turns(round(READING.wall_factor * self._limits.most_cpu_seconds / READING.tick)):
            waiting()
            with suppress(TimeoutError):
                return future.result(READING.tick)
        self.end()
        return future.result()

    def end(self) -> None:
        """Kill a running decoder; does nothing after it has finished."""
        with self._lock:
            self._ended = True
            if self._decoder is not None:
                self._decoder.kill(too_slow=True)
