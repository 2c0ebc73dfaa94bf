"""Round-robin over several sources: the source and sample of an index."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Turns:
    """``shares`` : number of consecutive samples of each source before the next one's turn; all at least 1.

    An index determines its source and its sample there, so that a sample does not depend on its batch.
    """

    shares: tuple[int, ...]

    def source_of(self, index: int) -> int:
        """Return the number of the source whose turn ``index`` is."""
        return bisect_right(list(accumulate(self.shares)), index % sum(self.shares))

    def own(self, indices: range, number: int) -> range:
        """Return the source's own indices of its samples among ``indices`` (step 1)."""
        return range(self._before(indices.start, number), self._before(indices.stop, number))

    def _before(self, index: int, number: int) -> int:
        """Count a source's samples among the first ``index``."""
        rounds, place = divmod(index, sum(self.shares))
        turn = sum(self.shares[:number])
        return rounds * self.shares[number] + min(max(place - turn, 0), self.shares[number])
