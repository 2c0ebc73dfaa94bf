"""Non-blocking checks of files on drives that may not respond, so that drawing a panel never waits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
from concurrent import futures
from concurrent.futures import Future
from typing import Generic, TypeVar

DRAWING_SECONDS = 0.1
CLICK_SECONDS = 3.0
REUSE_SECONDS = 0.5
"""A result is drawn for this long before the next check. A check is a thread, for which the redraw waits some
milliseconds on a busy machine, and a slider that is dragged redraws up to 60 times a second."""
STALE_SECONDS = 2.0
"""While a new check runs, the last result is used for drawing for up to this long."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Looks(Generic[K, V]):
    """Results of ``look`` per place, at most one check per place at a time. ``at`` is for one thread only."""

    def __init__(self, look: Callable[[K], V]) -> None:
        self._look = look
        self._under_way: dict[K, tuple[float, Future[V]]] = {}
        self._last: dict[K, tuple[float, V | None]] = {}
        self._changed = -math.inf

    def forget(self) -> None:
        """Reuse no result of a check that has begun by now: this program has just changed what it found."""
        self._changed = time.monotonic()

    def at(self, key: K, drawing: bool = False) -> V | None:
        """The result for ``key``; None if the drive does not respond.

        Waits up to ``CLICK_SECONDS`` for the check. With ``drawing`` it waits at most ``DRAWING_SECONDS`` and accepts a
        recent result; within ``REUSE_SECONDS`` of a check there is no other.
        """
        began, last = self._last.get(key, (-math.inf, None))
        if drawing and began > max(self._changed, time.monotonic() - REUSE_SECONDS):
            return last
        under_way = self._under_way.get(key)
        wait = DRAWING_SECONDS if under_way is None or self._collected(key) else 0.0
        if key not in self._under_way:
            self._under_way[key] = time.monotonic(), _started(lambda: self._look(key))
        began, result = self._under_way[key]
        futures.wait([result], wait if drawing else CLICK_SECONDS)
        recent = drawing and time.monotonic() - began < STALE_SECONDS
        return self._last[key][1] if self._collected(key) or (recent and key in self._last) else None

    def _collected(self, key: K) -> bool:
        """Whether the check has ended; if so, store its result as the last one."""
        began, result = self._under_way[key]
        if not result.done():
            return False
        self._last[key] = began, result.result()
        del self._under_way[key]
        return True


def _started(look: Callable[[], V]) -> Future[V]:
    """A check on a thread of its own that does not keep the program from ending."""
    result: Future[V] = Future()
    threading.Thread(target=lambda: result.set_result(look()), name="likeness-look", daemon=True).start()
    return result
