"""Batches, rows in mapped files, and checkpoint files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.engine.batch import BYTES, Batch, Coding, StoredBatches, batch_field
from trainer.engine.disk_cache import mapped, missing_runs

CPU = torch.device("cpu")
ORIGIN = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 5.0]], np.float32)


@dataclass(frozen=True)
class Truth(Batch):
    shape: Tensor = batch_field(coding=Coding(np.int16, step=1e-3, offset=lambda: ORIGIN, once=True))


@dataclass(frozen=True)
class Photos(Batch):
    images: Tensor = batch_field(coding=BYTES)
    set_of: Tensor = batch_field("number")
    mask: Tensor = batch_field("shared")
    truth: Truth | None = batch_field("leading")
    marks: Tensor | None = None


def photos(*sets: int, known: bool = True) -> Photos:
    """Two photos of each set; a set's number is its content."""
    numbers = torch.tensor(sets).repeat_interleave(2)
    shape = torch.from_numpy(ORIGIN) + 0.1 * numbers[:, None, None]
    images = (numbers[:, None] + torch.tensor([0.0, 0.25])) / 100
    rows = torch.arange(len(sets)).repeat_interleave(2)
    return Photos(images, rows, torch.tensor([7.0]), Truth(shape) if known else None)


class Counted:
    """A source that notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[range] = []

    def batch(self, indices: range, device: torch.device) -> Photos:
        self.asked.append(indices)
        return photos(*indices)


def test_rows_are_joined_numbers_go_on_and_shared_fields_stay() -> None:
    both = Photos.concatenate([photos(3, 4), photos(5)], CPU)
    assert both.set_of.tolist() == [0, 0, 1, 1, 2, 2] and both.mask.tolist() == [7.0]
    assert torch.equal(both.images, photos(3, 4, 5).images) and len(both.truth.shape) == 6 and both.marks is None


def test_parts_that_only_some_batches_have() -> None:
    assert len(Photos.concatenate([photos(1), photos(2, known=False)]).truth.shape) == 2
    with pytest.raises(ValueError, match="batches with truth come first"):
        Photos.concatenate([photos(1, known=False), photos(2)])
    with pytest.raises(ValueError, match="only some of the batches have marks"):
        Photos.concatenate([photos(1), replace(photos(2), marks=torch.zeros(2, 3))])


def test_stored_batches_are_the_source_s_to_their_coding_and_repeat(tmp_path: Path) -> None:
    source = Counted()
    stored = StoredBatches(Photos, source, 5, tmp_path / "store", at_once=2)
    first, whole = stored.batch(range(1, 4), CPU), photos(1, 2, 3)
    assert source.asked == [range(1, 3), range(3, 4)]
    assert (first.images - whole.images).abs().max() <= 0.5 / 255 and first.images.dtype == torch.float32
    assert torch.equal(first.set_of, whole.set_of) and first.mask.tolist() == [7.0] and first.marks is None
    torch.testing.assert_close(first.truth.shape, whole.truth.shape, atol=5.1e-4, rtol=0)
    assert np.load(tmp_path / "store" / "truth.shape.npy").shape == (5, 1, 2, 3), "a set's shape is stored once"
    other = StoredBatches(Photos, Counted(), 5, tmp_path / "store")
    assert torch.equal(other.batch(range(6, 9), CPU).images, first.images)
    other.batch(range(3, 6), CPU)
    assert other._source.asked == [range(0, 1), range(4, 5)], "only what is missing is made"


def test_values_beyond_a_coding_s_range_end_at_it() -> None:
    assert BYTES.encode(torch.tensor([-0.2, 0.5, 1.7])).tolist() == [0, 128, 255]
    assert Coding(np.int16, step=1e-3).decode(torch.tensor([-32768])).item() == pytest.approx(-32.768)


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
