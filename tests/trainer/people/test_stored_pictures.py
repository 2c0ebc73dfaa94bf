"""Pictures that are made once and read many times."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from drawn_faces import DrawnFaces, DrawnFacesConfig

from trainer.methods.learned_basis.data import Actors, FacePeopleConfig
from trainer.people.mixtures import StoredConfig, code_of
from trainer.people.source import PeopleConfig

DEVICE = torch.device("cpu")


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


def test_other_code_of_a_source_or_of_what_it_builds_on_makes_pictures_anew() -> None:
    plain, actors = set(code_of(PeopleConfig(size=32).build())), set(code_of(Actors(FacePeopleConfig(size=32))))
    assert Path(inspect.getfile(Actors)) in actors - plain and plain < actors
