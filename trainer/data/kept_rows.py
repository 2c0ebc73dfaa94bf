"""Rows of arrays that are made once and stored in memory-mapped files; shared by the ``stored`` sources."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def mapped(path: Path, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """Map an array from a file; a missing file is made, full of zeros.

    Raises ``ValueError`` when the file holds another shape or type.
    """
    if not path.is_file():
        partial = path.with_suffix(f".{uuid.uuid4().hex}.part")  # another process may be about to make it too
        np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape).flush()
        partial.replace(path)
    array = np.load(path, mmap_mode="r+", allow_pickle=False)
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(f"{path} does not fit; delete its folder")
    return array


def missing_runs(made: np.ndarray, rows: np.ndarray, longest: int) -> Iterator[np.ndarray]:
    """Yield those of ``rows`` that are 0 in ``made`` (count,), in runs of adjacent rows, at most ``longest`` at
    once."""
    missing = np.unique(rows[made[rows] == 0])
    for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        for start in range(0, len(run), longest):
            yield run[start : start + longest]
