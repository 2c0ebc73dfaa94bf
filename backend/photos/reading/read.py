"""Read photo files into sRGB pixels with limited time and memory, in decoder processes that can be killed."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice

from backend.photos.reading.decoders import TOO_SLOW, Decoder, idle, start_decoders
from backend.photos.reading.settings import READING
from backend.photos.reading.source import DecodedPhoto, PhotoSource, PhotoUnreadableError, ReadLimits


def start_reading(count: int) -> None:
    """Start the decoders for ``count`` photos in advance; returns at once."""
    start_decoders(min(count, READING.most_decoders, _cores()))


def read_photo(
    source: PhotoSource, limits: ReadLimits | None = None, waiting: Callable[[], None] = lambda: None
) -> DecodedPhoto:
    """Decode one photo.

    Parameters
    ----------
    waiting : called ten times a second while decoding; an exception from it ends the decoding at once.

    Raises
    ------
    PhotoUnreadableError : with a sentence for the user, for any defect of the file.
    """
    photo = next(read_photos([source], limits, waiting))
    if isinstance(photo, PhotoUnreadableError):
        raise photo
    return photo


def read_photos(
    sources: Sequence[PhotoSource], limits: ReadLimits | None = None, waiting: Callable[[], None] = lambda: None
) -> Iterator[DecodedPhoto | PhotoUnreadableError]:
    """Yield the photos in order; the next ones are decoded while the caller works on the current one.

    At most ``ReadingSettings.most_decoders`` photos are decoded ahead. ``waiting`` as in ``read_photo``.
    """
    limits = limits or ReadLimits()
    ahead = min(READING.most_decoders, _cores(), max(len(sources), 1))
    coming: deque[tuple[_Decoding, Future[DecodedPhoto | PhotoUnreadableError]]] = deque()
    left = iter(sources)
    with ThreadPoolExecutor(max_workers=ahead, thread_name_prefix="photo-reader") as pool:

        def fill_up() -> None:
            for source in islice(left, ahead - len(coming)):
                decoding = _Decoding(source, limits)
                coming.append((decoding, pool.submit(decoding.run)))

        try:
            fill_up()
            while coming:
                photo = _awaited(*coming[0], limits, waiting)
                coming.popleft()
                fill_up()
                yield photo
        finally:
            for decoding, _ in coming:
                decoding.end()


class _Decoding:
    """One photo being decoded; it can be ended from another thread."""

    def __init__(self, source: PhotoSource, limits: ReadLimits) -> None:
        self._source, self._limits = source, limits
        self._lock = threading.Lock()
        self._decoder: Decoder | None = None
        self._ended = False

    def run(self) -> DecodedPhoto | PhotoUnreadableError:
        """Decode; returns errors of the file instead of raising them."""
        with self._lock:
            if self._ended:
                return PhotoUnreadableError(TOO_SLOW)
            decoder = self._decoder = idle.take()
        try:
            return decoder.decode(self._source, self._limits)
        except PhotoUnreadableError as error:
            return error
        finally:
            with self._lock:
                self._decoder = None
            idle.return_to_pool(decoder)

    def end(self) -> None:
        """Kill a running decoder; does nothing after it has finished."""
        with self._lock:
            self._ended = True
            if self._decoder is not None:
                self._decoder.kill(too_slow=True)


def _awaited(
    decoding: _Decoding,
    future: Future[DecodedPhoto | PhotoUnreadableError],
    limits: ReadLimits,
    waiting: Callable[[], None],
) -> DecodedPhoto | PhotoUnreadableError:
    # Count ticks instead of reading the clock, so that a run stopped with Ctrl-Z can continue.
    for _ in range(round(READING.wall_factor * limits.most_cpu_seconds / READING.tick)):
        waiting()
        with suppress(TimeoutError):
            return future.result(READING.tick)
    decoding.end()
    return future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
