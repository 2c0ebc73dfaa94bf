"""Rows in mapped files: made once, whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from trainer.engine.disk_cache import mapped, missing_runs


def test_many_who_make_a_file_at_once_all_get_it(tmp_path: Path) -> None:
    """Two trainings that begin with the same data at the same time took each other's half-made file away."""
    for turn in range(20):
        start = Barrier(8)

        def make(number: int, path: Path = tmp_path / f"rows{turn}.npy", start: Barrier = start) -> np.ndarray:
            start.wait()
            return mapped(path, (4, 3))

        with ThreadPoolExecutor(8) as pool:
            arrays = list(pool.map(make, range(8)))
        assert all((array == 0).all() and array.shape == (4, 3) for array in arrays)
    assert not list(tmp_path.glob("*.part"))


def test_what_is_there_is_kept_and_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    mapped(path, (4, 3))[2] = 7
    assert (mapped(path, (4, 3))[2] == 7).all()
    with pytest.raises(ValueError, match="delete its folder"):
        mapped(path, (5, 3))


def test_missing_rows_come_in_runs() -> None:
    made = np.array([1, 0, 0, 1, 0, 0, 0, 1], np.uint8)
    runs = [run.tolist() for run in missing_runs(made, np.arange(8), 2)]
    assert runs == [[1, 2], [4, 5], [6]]
