"""Mixed sources: whose turn it is, and that an index stays the same sample in any company."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from trainer.engine.contracts import SourceConfig
from trainer.people.mixtures import LabelledPictures, MixedConfig

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class CountingConfig(SourceConfig):
    """A source whose pictures say which number of whose they are."""

    label: int

    def build(self) -> Counting:
        return Counting(self.label)


class Counting:
    def __init__(self, label: int) -> None:
        self._label = label

    def batch(self, indices: range, device: torch.device) -> LabelledPictures:
        numbers = torch.tensor(list(indices), dtype=torch.float32)
        labels = torch.full((len(numbers), 2, 2), self._label, dtype=torch.uint8)
        return LabelledPictures(numbers.view(-1, 1, 1, 1).expand(-1, 3, 2, 2), labels)


def _source():
    return MixedConfig(sources=(CountingConfig(label=7), CountingConfig(label=9)), shares=(2, 1)).build()


def test_sources_take_turns_by_their_shares_and_skip_none_of_their_samples() -> None:
    batch = _source().batch(range(0, 9), CPU)
    assert batch.labels[:, 0, 0].tolist() == [7, 7, 9, 7, 7, 9, 7, 7, 9]
    assert batch.images[:, 0, 0, 0].tolist() == [0, 1, 0, 2, 3, 1, 4, 5, 2]


def test_an_index_is_the_same_sample_in_any_batch() -> None:
    source, whole = _source(), _source().batch(range(0, 20), CPU)
    for first, last in ((0, 1), (1, 4), (5, 6), (7, 20)):
        part = source.batch(range(first, last), CPU)
        assert torch.equal(part.images, whole.images[first:last])
        assert torch.equal(part.labels, whole.labels[first:last])


@pytest.mark.parametrize("shares", [(1,), (1, 0), ()])
def test_shares_that_do_not_fit_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        MixedConfig(sources=(CountingConfig(label=1), CountingConfig(label=2)), shares=shares)
