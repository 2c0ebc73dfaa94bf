"""Photos and shapes for the graph face model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.geometry.template import load_template
from trainer.methods.graph_face import data
from trainer.people.shape import CarriedExpressions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="module")
def batch(folder: Path) -> data.GraphBatch:
    return data.GraphPeopleConfig(size=64, people=3, photos=2, seed=5, folder=str(folder)).build().batch(range(3), CPU)


def test_photos_of_a_person_share_a_neutral_face_and_differ_in_what_it_does(batch: data.GraphBatch) -> None:
    assert batch.person.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(batch.neutral[::2], batch.neutral[1::2])
    assert not torch.equal(batch.neutral[0], batch.neutral[2])
    assert not torch.equal(batch.weights[::2], batch.weights[1::2])


def test_people_come_again_by_their_number(folder: Path, batch: data.GraphBatch) -> None:
    source = data.GraphPeopleConfig(size=64, people=3, photos=2, seed=5, folder=str(folder)).build()
    again = source.batch(range(4, 5), CPU)  # 4 modulo 3
    assert again.person.tolist() == [1, 1]
    assert torch.equal(again.photos.images, batch.photos.images[2:4])
    assert torch.equal(again.vertices, batch.vertices[2:4])


def test_seen_skin_has_the_pictures_place_and_a_colour(batch: data.GraphBatch) -> None:
    photos = batch.photos
    assert (photos.seen.float().mean(1) > 0.05).float().mean() > 0.6  # some hide behind masks and hands
    places = photos.places[photos.seen]
    assert (places >= 0).all() and (places <= 1).all()
    ears = torch.from_numpy(load_template().regions["scalp"][: photos.seen.shape[1]] > 0.9)
    assert photos.seen[:, ears].float().mean() < photos.seen.float().mean()  # hair is no skin
    red, blue = photos.albedo[photos.seen][:, 0], photos.albedo[photos.seen][:, 2]
    assert (red >= blue).float().mean() > 0.9


def test_stored_shapes_are_exact_to_a_tenth_of_a_millimetre(batch: data.GraphBatch) -> None:
    count = batch.vertices.shape[1]
    posed = CarriedExpressions(load_template(), CPU).posed(batch.neutral, batch.weights)[:, :count]
    assert float((posed - batch.vertices).abs().max()) < 1e-4


def test_a_mirror_turns_all_of_it_around(batch: data.GraphBatch) -> None:
    mirror = torch.from_numpy(load_template().mirror.astype("int64"))
    once = data.mirrored_batch(batch, mirror)
    assert torch.equal(once.photos.images, batch.photos.images.flip(-1))
    assert torch.equal(once.person, batch.person)
    # a seen vertex shows its own pixel still
    size = batch.photos.images.shape[-1]
    for number in range(len(once.person)):
        own = once.photos.seen[number].nonzero()[:, 0][:50]
        partner = mirror[own]
        column, row = (once.photos.places[number, own] * size).floor().long().clamp(0, size - 1).T
        before = (batch.photos.places[number, partner] * size).floor().long().clamp(0, size - 1)
        pixel = once.photos.images[number, :, row, column]
        same = batch.photos.images[number, :, before[:, 1], before[:, 0]]
        assert ((pixel - same).abs().amax(0) < 1e-6).float().mean() > 0.9  # but for those between two pixels
    twice = data.mirrored_batch(once, mirror)
    for name in ("neutral", "weights", "vertices"):
        assert torch.allclose(getattr(twice, name), getattr(batch, name), atol=1e-6)
    assert torch.equal(twice.photos.light, batch.photos.light)


def test_shapes_alone_have_no_end_and_no_pictures() -> None:
    source = data.GraphShapesConfig(seed=3).build()
    one, other = source.batch(range(2), CPU), source.batch(range(1, 2), CPU)
    assert one.photos is None
    assert one.person.tolist() == [0, 0, 1, 1]
    assert torch.allclose(one.vertices[2:], other.vertices, atol=1e-5)
    assert torch.equal(one.weights[2:], other.weights)
    with pytest.raises(ValueError, match="mirror"):
        data.mirrored_batch(one, torch.arange(one.neutral.shape[1]))
