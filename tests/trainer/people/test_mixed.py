"""Mixed sources, people with portraits, and pictures that are made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from drawn_faces import DrawnFaces, DrawnFacesConfig
from torch import Tensor

from trainer.engine.batch import Batch
from trainer.engine.contracts import SourceConfig
from trainer.methods.graph_face.data import GraphBatch, GraphPhotos
from trainer.people.mixtures import LabelledPictures, MixedConfig, StoredConfig

CPU = torch.device("cpu")
DEVICE = torch.device("cpu")


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
        labels = torch.full((len(numbers), 8, 8), self._label, dtype=torch.uint8)
        return LabelledPictures(numbers.view(-1, 1, 1, 1).expand(-1, 3, 8, 8), labels)


def _source():
    return MixedConfig(sources=(CountingConfig(label=7), CountingConfig(label=9)), shares=(2, 1)).build()


def test_sources_take_turns_by_their_shares_and_skip_none_of_their_samples() -> None:
    batch = _source().batch(range(0, 9), CPU)
    assert batch.labels[:, 0, 0].tolist() == [7] * 6 + [9] * 3
    assert batch.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2]


def test_an_index_is_the_same_sample_in_any_batch() -> None:
    def samples(indices: range) -> set[tuple[float, int]]:
        batch = _source().batch(indices, CPU)
        return set(zip(batch.images[:, 0, 0, 0].tolist(), batch.labels[:, 0, 0].tolist(), strict=True))

    assert set().union(*(samples(range(k, k + 1)) for k in range(5, 12))) == samples(range(5, 12))


def test_of_sources_of_two_kinds_there_are_pictures_and_labels() -> None:
    sources = (CountingConfig(label=7), DrawnFacesConfig(size=8))
    batch = MixedConfig(sources=sources, shares=(1, 1)).build().batch(range(4), CPU)
    assert type(batch) is LabelledPictures and batch.labels[:2].unique().tolist() == [7] and len(batch.images) == 4


@pytest.mark.parametrize("shares", [(1,), (1, 0), ()])
def test_shares_that_do_not_fit_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        MixedConfig(sources=(CountingConfig(label=1), CountingConfig(label=2)), shares=shares)


@dataclass(frozen=True)
class Counted(Batch):
    """Numbers of samples, a hundred more for portraits."""

    numbers: Tensor


@dataclass(frozen=True, kw_only=True)
class CountedPhotosConfig(SourceConfig):
    """Samples that know their numbers."""

    first: int = 0

    def build(self) -> CountedPhotos:
        return CountedPhotos(self.first)


class CountedPhotos:
    def __init__(self, first: int) -> None:
        self._first = first

    def batch(self, indices: range, device: torch.device) -> Counted:
        return Counted(torch.tensor([self._first + index for index in indices], device=device))


def mixed(shares: tuple[int, ...]) -> MixedConfig:
    return MixedConfig(sources=(CountedPhotosConfig(), CountedPhotosConfig(first=100)), shares=shares)


def test_people_come_first_and_none_of_either_is_skipped() -> None:
    source = mixed((2, 1)).build()
    assert source.batch(range(0, 6), CPU).numbers.tolist() == [0, 1, 2, 3, 100, 101]
    assert source.batch(range(6, 8), CPU).numbers.tolist() == [4, 5]
    assert source.batch(range(8, 9), CPU).numbers.tolist() == [102]


@pytest.mark.parametrize("shares", [(1,), (1, 0), (0, 1)])
def test_shares_of_portraits_that_do_not_fit_are_refused(shares: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="share"):
        mixed(shares)


def test_faces_with_photos_and_shapes_alone_do_not_go_into_one_batch() -> None:
    known = torch.zeros(1, 52), torch.zeros(1, 3, 3)
    shapes = GraphBatch(torch.tensor([0]), torch.tensor([True]), torch.zeros(1, 4, 3), *known, None)
    other = GraphBatch(torch.tensor([1]), torch.tensor([True]), torch.ones(1, 4, 3), *known, None)
    both = GraphBatch.concatenate([shapes, other], CPU)
    assert both.person.tolist() == [0, 1] and both.photos is None and both.neutral[:, 0, 0].tolist() == [0, 1]
    pictured = GraphBatch(shapes.person, shapes.told, shapes.neutral, shapes.weights, shapes.vertices, _photos())
    joined = GraphBatch.concatenate([pictured, pictured], CPU)
    assert joined.photos is not None and joined.photos.images.shape[0] == 2
    with pytest.raises(ValueError, match="only some of the batches have photos"):
        GraphBatch.concatenate([pictured, other], CPU)


def _photos() -> GraphPhotos:
    shapes = ((3, 8, 8), (3, 2), (3, 3), (3,), (9, 3), (478, 3), (8, 8))
    return GraphPhotos(*(torch.zeros(1, *shape) for shape in shapes))


def test_stored_pictures_are_those_of_the_source_to_eight_bits(tmp_path: Path) -> None:
    made = DrawnFacesConfig(size=32, seed=5)
    stored = StoredConfig(source=made, count=10, folder=str(tmp_path)).build()
    batch, truth = stored.batch(range(3, 7), DEVICE), made.build().batch(range(3, 7), DEVICE)
    torch.testing.assert_close(batch.images, truth.images, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(batch.labels, truth.labels)
    # beyond the end the same ones come again, also across the end
    again = stored.batch(range(9, 14), DEVICE)
    assert torch.equal(again.images[4], batch.images[0])


def test_a_second_reader_makes_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = StoredConfig(source=DrawnFacesConfig(size=32), count=12, folder=str(tmp_path))
    first = config.build().batch(range(0, 8), DEVICE)
    asked: list[range] = []
    original = DrawnFaces.batch
    monkeypatch.setattr(DrawnFaces, "batch", lambda self, r, d: (asked.append(r), original(self, r, d))[1])
    second = config.build()
    assert torch.equal(second.batch(range(0, 8), DEVICE).images, first.images)
    asked.clear()
    second.batch(range(4, 12), DEVICE)
    assert asked == [range(8, 12)]


def test_another_configuration_has_pictures_of_its_own(tmp_path: Path) -> None:
    one = StoredConfig(source=DrawnFacesConfig(size=32, seed=1), count=4, folder=str(tmp_path)).build()
    two = StoredConfig(source=DrawnFacesConfig(size=32, seed=2), count=4, folder=str(tmp_path)).build()
    assert not torch.equal(one.batch(range(4), DEVICE).images, two.batch(range(4), DEVICE).images)
    with pytest.raises(ValueError, match="at least 1"):
        StoredConfig(source=DrawnFacesConfig(size=32), count=0)
