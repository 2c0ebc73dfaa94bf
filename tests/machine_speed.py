"""How fast this machine is now, so that limits of processor time are ratios to a peer in the same run."""

from __future__ import annotations

import statistics
import time

import numpy as np

PEER_SECONDS = 0.0165
"""Of ``_peer`` on the machine that the tests' limits were measured on, with nothing beside it."""


def times_slower() -> float:
    """How many times longer a fixed piece of work takes now than where the limits were measured; at least 1.

    By this process's own time, the median of nine: programs beside it share caches and cores, and slow both alike.
    """
    return max(1.0, statistics.median(_peer() for _ in range(9)) / PEER_SECONDS)


def _peer() -> float:
    """Processor seconds of one piece of work: objects in Python, and 3 MB in numpy."""
    began = time.process_time()
    table = {str(number): [number, number * 0.5] for number in range(20_000)}
    values = np.array([pair[1] for pair in table.values()])
    np.sort(np.sin(np.resize(values, 200_000)))
    return time.process_time() - began
