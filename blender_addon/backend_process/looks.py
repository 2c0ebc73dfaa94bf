"""Looks at files that may lie on a drive which does not answer: whoever draws a panel must never wait for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

DRAWING_SECONDS = 0.1
CLICK_SECONDS = 3.0
OUTDATED_SECONDS = 2.0
"""What was seen last counts while the next look is under way, for so long."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Look(Generic[V]):
    """One look, on a thread of its own."""

    def __init__(self, look: Callable[[], V]) -> None:
        self.seen: V | None = None
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self._run, args=(look,), name="likeness-look", daemon=True)
        self.thread.start()

    def _run(self, look: Callable[[], V]) -> None:
        self.seen = look()


class Looks(Generic[K, V]):
    """What ``look`` sees at places; one look at a time for each. To be asked by one thread."""

    def __init__(self, look: Callable[[K], V]) -> None:
        self._look = look
        self._under_way: dict[K, _Look[V]] = {}
        self._last: dict[K, V | None] = {}

    def at(self, place: K, drawing: bool = False) -> V | None:
        """What is to be seen at ``place``; None where it does not answer.

        A look takes as long as a click may; for ``drawing`` next to no time, and what was seen just before will do.
        """
        under_way = self._under_way.get(place)
        if under_way is None or self._collected(place, under_way):
            under_way = self._under_way[place] = _Look(lambda: self._look(place))
            under_way.thread.join(DRAWING_SECONDS)
        if not drawing:
            under_way.thread.join(CLICK_SECONDS)
        recent = drawing and time.monotonic() - under_way.began < OUTDATED_SECONDS
        return self._last.get(place) if self._collected(place, under_way) or recent else None

    def _collected(self, place: K, look: _Look[V]) -> bool:
        """Whether the look has ended; then it is the last one."""
        if look.thread.is_alive():
            return False
        self._last[place] = look.seen
        self._under_way.pop(place, None)
        return True
