"""People with labels and portraits without: one source for every kind of batch."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from trainer.engine.batch import Batch
from trainer.engine.contracts import SourceConfig
from trainer.methods.graph_face.data import UNKNOWN, GraphBatch, GraphPhotos
from trainer.people.mixtures import PeopleAndPortraitsConfig

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Counted(Batch):
    """Numbers of samples, a hundred more for portraits."""

    numbers: Tensor


@dataclass(frozen=True, kw_only=True)
class CountingConfig(SourceConfig):
    """Samples that know their numbers."""

    first: int = 0

    def build(self) -> Counting:
        return Counting(self.first)


class Counting:
    def __init__(self, first: int) -> None:
        self._first = first

    def batch(self, indices: range, device: torch.device) -> Counted:
        return Counted(torch.tensor([self._first + index for index in indices], device=device))


def mixed(shares: tuple[int, int]) -> PeopleAndPortraitsConfig:
    return PeopleAndPortraitsConfig(people=CountingConfig(), portraits=CountingConfig(first=100), shares=shares)


def test_people_come_first_and_none_of_either_is_skipped() -> None:
    source = mixed((2, 1)).build()
    assert source.batch(range(0, 6), CPU).numbers.tolist() == [0, 1, 2, 3, 100, 101]
    assert source.batch(range(6, 8), CPU).numbers.tolist() == [4, 5]
    assert source.batch(range(8, 9), CPU).numbers.tolist() == [102]


@pytest.mark.parametrize("shares", [(1,), (1, 0), (0, 1)])
def test_shares_that_do_not_fit_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        mixed(shares)


def test_faces_with_photos_and_shapes_alone_do_not_go_into_one_batch() -> None:
    shapes = GraphBatch(torch.tensor([0]), torch.zeros(1, 4, 3), torch.zeros(1, 52), torch.zeros(1, 3, 3), None)
    other = GraphBatch(torch.tensor([UNKNOWN]), torch.ones(1, 4, 3), torch.zeros(1, 52), torch.zeros(1, 3, 3), None)
    both = GraphBatch.concatenate([shapes, other], CPU)
    assert both.person.tolist() == [0, UNKNOWN] and both.photos is None and both.neutral[:, 0, 0].tolist() == [0, 1]
    pictured = GraphBatch(shapes.person, shapes.neutral, shapes.weights, shapes.vertices, _photos())
    joined = GraphBatch.concatenate([pictured, pictured], CPU)
    assert joined.photos is not None and joined.photos.images.shape[0] == 2
    with pytest.raises(ValueError, match="only some of the batches have photos"):
        GraphBatch.concatenate([pictured, other], CPU)


def _photos() -> GraphPhotos:
    shapes = ((3, 8, 8), (3, 2), (3, 3), (3,), (9, 3), (478, 3))
    return GraphPhotos(*(torch.zeros(1, *shape) for shape in shapes))
