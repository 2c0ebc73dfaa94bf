"""Non-blocking checks of files on drives that may not respond, so that drawing a panel never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

DRAWING_SECONDS = 0.1
CLICK_SECONDS = 3.0
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
    """Results of ``look`` per place, at most one check per place at a time. Call it from one thread only."""

    def __init__(self, look: Callable[[K], V]) -> None:
        self._look = look
        self._under_way: dict[K, _Look[V]] = {}
        self._last: dict[K, V | None] = {}

    def at(self, place: K, drawing: bool = False) -> V | None:
        """The result for ``place``; None if the drive does not respond.

        Waits up to ``CLICK_SECONDS`` for the check. With ``drawing`` it waits at most ``DRAWING_SECONDS`` and accepts a
        recent result.
        """
        under_way = self._under_way.get(place)
        if under_way is None or self._collected(place, under_way):
            under_way = self._under_way[place] = _Look(lambda: self._look(place))
            under_way.thread.join(DRAWING_SECONDS)
        if not drawing:
            under_way.thread.join(CLICK_SECONDS)
        recent = drawing and time.monotonic() - under_way.began < STALE_SECONDS
        return self._last.get(place) if self._collected(place, under_way) or recent else None

    def _collected(self, place: K, look: _Look[V]) -> bool:
        """Whether the check has ended; if so, store its result as the last one."""
        if look.thread.is_alive():
            return False
        self._last[place] = look.seen
        self._under_way.pop(place, None)
        return True
