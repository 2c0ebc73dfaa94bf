"""Synthetic people with much on their heads: the same faces as others, more worn, labels that fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.hair.hull import head_hull
from backend.photos.collection import FaceClass
from trainer.people.dress.worn import KINDS
from trainer.people.dressed import DressedPeopleConfig, draw_headgear
from trainer.people.look import draw_look
from trainer.people.source import PeopleConfig

CPU = torch.device("cpu")


def test_an_index_is_the_same_picture_in_any_company() -> None:
    config = DressedPeopleConfig(size=48, seed=4, company=0.7)
    together, alone = config.build().batch(range(5, 8), CPU), config.build().batch(range(6, 7), CPU)
    assert together.person.tolist() == list(range(5, 8)) and alone.person.tolist() == [6]
    same = (alone.images - together.images[1:2]).abs().amax(1) <= 2 / 255
    assert same.float().mean() >= 0.999
    assert (alone.labels == together.labels[1:2]).float().mean() >= 0.999


def test_faces_are_those_of_people_with_the_same_numbers() -> None:
    plain = PeopleConfig(size=32, seed=9).build().batch(range(4), CPU)
    dressed = DressedPeopleConfig(size=32, seed=9).build().batch(range(4), CPU)
    torch.testing.assert_close(dressed.vertices, plain.vertices)
    torch.testing.assert_close(dressed.landmarks478, plain.landmarks478)


def test_more_is_worn() -> None:
    def shares(config: PeopleConfig) -> tuple[float, float, float]:
        people = config.build()
        shots = [people.shots(index)[0] for index in range(64)]
        hats = np.mean([shot.worn.hat.kind > 0 for shot in shots])
        glasses = np.mean([shot.worn.glasses.worn for shot in shots])
        men = [shot.person.look for shot in shots if shot.person.look.femininity < 0.45]
        return float(hats), float(glasses), float(np.mean([look.moustache + look.chin > 0 for look in men]))

    dressed = shares(DressedPeopleConfig(size=32, seed=2, hats=0.5, beards=0.8, glasses=0.6))
    np.testing.assert_allclose(dressed, (0.5, 0.6, 0.8), atol=0.2)
    assert all(more > less for more, less in zip(dressed, shares(PeopleConfig(size=32, seed=2)), strict=True))


def test_headgear_is_of_all_kinds_and_none_where_none_is_wanted() -> None:
    hull, look = head_hull(load_template()), draw_look(np.random.default_rng(1))
    generator = np.random.default_rng(0)
    drawn = [draw_headgear(generator, look, hull, 1.0) for _ in range(150)]
    kinds = Counter(KINDS[int(hat.kind)] for hat in drawn)
    assert {"turban", "helmet", "visor cap", "brim", "band", "beanie"} <= set(kinds) and "none" not in kinds
    for hat in drawn:
        assert all(np.isfinite(np.asarray(value)).all() for value in vars(hat).values())
        assert (np.asarray(hat.height) > 0).all(), "no headgear lies inside the head"
    assert all(draw_headgear(generator, look, hull, 0.0).kind == 0 for _ in range(10))


@pytest.mark.parametrize(("share", "label"), [("hats", FaceClass.OCCLUDER), ("glasses", FaceClass.GLASSES)])
def test_what_is_worn_is_labelled(share: str, label: FaceClass) -> None:
    config = DressedPeopleConfig(size=96, seed=6, hats=0.0, beards=0.0, glasses=0.0, company=0.0)
    without = config.build().batch(range(8), CPU).labels == int(label)
    with_it = replace(config, **{share: 1.0}).build().batch(range(8), CPU).labels == int(label)
    more = with_it.flatten(1).sum(1) > without.flatten(1).sum(1)
    assert more.sum() >= 7  # one may wear it where nobody sees it


def test_company_changes_the_background_alone() -> None:
    config = DressedPeopleConfig(size=96, seed=6, company=0.0)
    lonely, together = (replace(config, company=each).build().batch(range(4), CPU) for each in (0.0, 1.0))
    assert torch.equal(lonely.labels, together.labels)
    changed = (lonely.images != together.images).any(1)
    assert changed.any()
    assert (lonely.labels[changed] == int(FaceClass.BACKGROUND)).all()
