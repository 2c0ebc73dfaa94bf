"""Non-blocking checks of files on drives that may not respond, so that drawing a panel never waits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable
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


class _Look(Generic[V]):
    """One check on its own thread."""

    def __init__(self, look: Callable[[], V]) -> None:
        self.seen: V | None = None
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self._run, args=(look,), name="likeness-look", daemon=True)
        self.thread.start()

    def _run(self, look: Callable[[], V]) -> None:
        self.seen = look()


class Looks(Generic[K, V]):
    """Results of ``look`` per place, at most one check per place at a time. ``at`` is for one thread only."""

    def __init__(self, look: Callable[[K], V]) -> None:
        self._look = look
        self._under_way: dict[K, _Look[V]] = {}
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
        if under_way is None or self._collected(key, under_way):
            under_way = self._under_way[key] = _Look(lambda: self._look(key))
            under_way.thread.join(DRAWING_SECONDS)
        if not drawing:
            under_way.thread.join(CLICK_SECONDS)
        recent = drawing and time.monotonic() - under_way.began < STALE_SECONDS
        return self._last[key][1] if self._collected(key, under_way) or (recent and key in self._last) else None

    def _collected(self, key: K, look: _Look[V]) -> bool:
        """Whether the check has ended; if so, store its result as the last one."""
        if look.thread.is_alive():
            return False
        self._last[key] = look.began, look.seen
        self._under_way.pop(key, None)
        return True
