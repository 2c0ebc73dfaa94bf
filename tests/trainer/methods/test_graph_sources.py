"""Photos, shapes and portraits for the graph face model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from backend.geometry.template import load_template
from trainer.methods.graph_face.albedo import head_people
from trainer.methods.graph_face.data import (
    UNKNOWN,
    GraphBatch,
    GraphPeopleConfig,
    GraphPortraitsConfig,
    GraphShapesConfig,
    mirrored_batch,
)
from trainer.people.mixtures import PeopleAndPortraitsConfig
from trainer.people.shape import CarriedExpressions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graph")


@pytest.fixture(scope="module")
def batch(folder: Path) -> GraphBatch:
    return GraphPeopleConfig(size=64, people=3, photos=2, seed=5, folder=str(folder)).build().batch(range(3), CPU)


def test_photos_of_a_person_share_a_neutral_face_and_differ_in_what_it_does(batch: GraphBatch) -> None:
    assert batch.person.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(batch.neutral[::2], batch.neutral[1::2])
    assert not torch.equal(batch.neutral[0], batch.neutral[2])
    assert not torch.equal(batch.weights[::2], batch.weights[1::2])


def test_people_come_again_by_their_number(folder: Path, batch: GraphBatch) -> None:
    source = GraphPeopleConfig(size=64, people=3, photos=2, seed=5, folder=str(folder)).build()
    again = source.batch(range(4, 5), CPU)  # 4 modulo 3
    assert again.person.tolist() == [1, 1]
    assert torch.equal(again.photos.images, batch.photos.images[2:4])
    assert torch.equal(again.vertices, batch.vertices[2:4])


def test_seen_skin_has_the_pictures_place_and_a_colour(batch: GraphBatch) -> None:
    photos = batch.photos
    assert (photos.seen.float().mean(1) > 0.05).float().mean() > 0.6  # some hide behind masks and hands
    places = photos.places[photos.seen]
    assert (places >= 0).all() and (places <= 1).all()
    ears = torch.from_numpy(load_template().regions["scalp"][: photos.seen.shape[1]] > 0.9)
    assert photos.seen[:, ears].float().mean() < photos.seen.float().mean()  # hair is no skin
    red, blue = photos.albedo[photos.seen][:, 0], photos.albedo[photos.seen][:, 2]
    assert (red >= blue).float().mean() > 0.9


def test_stored_shapes_are_exact_to_a_tenth_of_a_millimetre(batch: GraphBatch) -> None:
    count = batch.vertices.shape[1]
    posed = CarriedExpressions(load_template(), CPU).posed(batch.neutral, batch.weights)[:, :count]
    assert float((posed - batch.vertices).abs().max()) < 1e-4


def test_a_mirror_turns_all_of_it_around(batch: GraphBatch) -> None:
    mirror = torch.from_numpy(load_template().mirror.astype("int64"))
    once = mirrored_batch(batch, mirror)
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
    twice = mirrored_batch(once, mirror)
    for name in ("neutral", "weights", "vertices"):
        assert torch.allclose(getattr(twice, name), getattr(batch, name), atol=1e-6)
    assert torch.equal(twice.photos.light, batch.photos.light)


def test_shapes_alone_have_no_end_and_no_pictures() -> None:
    source = GraphShapesConfig(seed=3).build()
    one, other = source.batch(range(2), CPU), source.batch(range(1, 2), CPU)
    assert one.photos is None
    assert one.person.tolist() == [0, 0, 1, 1]
    assert torch.allclose(one.vertices[2:], other.vertices, atol=1e-5)
    assert torch.equal(one.weights[2:], other.weights)
    with pytest.raises(ValueError, match="mirror"):
        mirrored_batch(one, torch.arange(one.neutral.shape[1]))


@pytest.fixture(scope="module")
def folder_of_graph_portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture without a face, and a face whose place is known: a synthetic person's."""
    made = tmp_path_factory.mktemp("portraits")
    picture = head_people(256, 3, 1).batch(range(1), CPU).images[0].permute(1, 2, 0).numpy()
    cv2.imwrite(str(made / "0_wall.jpg"), np.full((200, 200, 3), 128, np.uint8))
    cv2.imwrite(str(made / "1_person.jpg"), (picture * 255).round().astype(np.uint8)[..., ::-1])
    return made


@pytest.mark.usefixtures("one_thread")
def test_a_portrait_is_found_with_its_head_and_a_wall_is_passed_over(
    folder_of_graph_portraits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    portraits = GraphPortraitsConfig(folder=str(folder_of_graph_portraits), size=64, people=2)
    batch = portraits.build().batch(range(2), CPU)
    assert (batch.person == UNKNOWN).all()
    assert torch.equal(batch.photos.images[0], batch.photos.images[1]), "there is one face in the folder"
    seen = batch.photos.seen[0]
    assert 300 < int(seen.sum()) < len(seen) / 1.5
    shown = batch.photos.places[0][seen]
    assert float(shown.min()) > 0 and float(shown.max()) < 1
    middle = batch.photos.marks[0, :, :2].mean(0)
    assert float((shown.mean(0) - middle).norm()) < 0.2, "the head lies where the landmark net sees it"
    mixed = PeopleAndPortraitsConfig(
        people=GraphPeopleConfig(size=64, people=2, photos=2, folder=str(tmp_path)), portraits=portraits, shares=(2, 1)
    )
    both = mixed.build().batch(range(3), CPU)
    assert both.person.tolist() == [0, 0, 1, 1, UNKNOWN]
    assert torch.equal(both.photos.images[4], batch.photos.images[0])
    assert both.vertices.shape[0] == both.photos.marks.shape[0] == 5


def test_a_folder_without_portraits_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LikenessError, match="no JPEG file"):
        GraphPortraitsConfig(folder=str(tmp_path)).build()
    with pytest.raises(ValueError, match="people"):
        GraphPortraitsConfig(folder=str(tmp_path), people=0)
