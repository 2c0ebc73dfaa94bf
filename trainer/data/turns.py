"""Several sources in turn: which sample of which source an index is."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Turns:
    """``shares`` : how many samples of each source follow each other before the next one's turn; all at least 1.

    Every index has its source and its place in it, so that a sample is the same in whatever company.
    """

    shares: tuple[int, ...]

    def source_of(self, index: int) -> int:
        """Whose turn it is."""
        return bisect_right(list(accumulate(self.shares)), index % sum(self.shares))

    def own(self, indices: range, number: int) -> range:
        """The source's own indices of its samples among ``indices`` (step 1)."""
        return range(self._before(indices.start, number), self._before(indices.stop, number))

    def _before(self, index: int, number: int) -> int:
        """Samples of a source among the first ``index``."""
        rounds, place = divmod(index, sum(self.shares))
        turn = sum(self.shares[:number])
        return rounds * self.shares[number] + min(max(place - turn, 0), self.shares[number])
