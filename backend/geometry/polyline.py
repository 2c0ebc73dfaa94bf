"""Arc length of polylines."""

from __future__ import annotations

import numpy as np


def arc_length(line: np.ndarray) -> np.ndarray:
    """(Q,) length along a line (Q, D) up to each of its points, from 0."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def points_along(line: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N, D) points of a line (Q, D) at arc lengths ``places`` (N,), clamped to its ends."""
    length = arc_length(line)
    return np.stack([np.interp(places, length, column) for column in line.T], axis=1)
