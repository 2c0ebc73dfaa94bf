"""Portraits without labels, by a fit to their landmarks, beside synthetic people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from trainer.methods.graph_face.albedo import head_people
from trainer.methods.graph_face.data import UNKNOWN, GraphPeopleConfig, GraphPortraitsConfig
from trainer.people.mixtures import PeopleAndPortraitsConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture without a face, and a face whose place is known: a synthetic person's."""
    made = tmp_path_factory.mktemp("portraits")
    picture = head_people(256, 3, 1).batch(range(1), CPU).images[0].permute(1, 2, 0).numpy()
    cv2.imwrite(str(made / "0_wall.jpg"), np.full((200, 200, 3), 128, np.uint8))
    cv2.imwrite(str(made / "1_person.jpg"), (picture * 255).round().astype(np.uint8)[..., ::-1])
    return made


@pytest.mark.usefixtures("one_thread")
def test_a_portrait_is_found_with_its_head_and_a_wall_is_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))
    portraits = GraphPortraitsConfig(folder=str(folder), size=64, people=2)
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
