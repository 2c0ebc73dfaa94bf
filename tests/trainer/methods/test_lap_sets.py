"""Canonical truth of synthetic people, sets on disk, mixtures."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from backend.models.lap.network import CanonicalMaps, LapConfig
from backend.rendering.camera import View
from trainer.methods.lap.data import LapBatch, LapPeopleConfig
from trainer.methods.lap.sets import AugmentConfig, augment_sets, filled_depth
from trainer.methods.lap.stage import Errors, view_errors

CPU = torch.device("cpu")
PEOPLE = LapPeopleConfig(size=32, photos=3, seed=7, film=False)
VIEWS = LapConfig(size=32, translation=(0.1, 0.1, 0.25))


@pytest.fixture(scope="module")
def people() -> LapBatch:
    return PEOPLE.build().batch(range(2), CPU)


class _Sized:
    """What ``view_errors`` wants of a network."""

    config = VIEWS


def _floor(batch: LapBatch) -> Errors:
    """Errors of the truth itself."""
    truth = batch.truth
    depth = filled_depth(truth.personal_depth)
    face = CanonicalMaps(depth, depth.new_zeros(len(depth), 3, 32, 32))
    view = View(truth.rotation, truth.translation)
    return view_errors(face, view, batch, torch.arange(len(depth)), _Sized())


def test_depth_in_a_view_is_the_canonical_depth_moved_there(people: LapBatch) -> None:
    truth = people.truth
    error = _floor(people)
    other = dataclasses.replace(truth, rotation=truth.rotation.flip(0), translation=truth.translation.flip(0))
    wrong = _floor(dataclasses.replace(people, truth=other))
    assert error["side"].nanmedian() < 0.008 and error["mad"].nanmedian() < 20
    assert wrong["side"].nanmedian() > 2 * error["side"].nanmedian()


@pytest.mark.parametrize("change", [{"mirror": 1.0}, {"rotate_degrees": 15.0}, {"zoom": 0.1}, {"shift": 0.05}])
def test_changed_photos_keep_their_truth(people: LapBatch, change: dict[str, float]) -> None:
    torch.manual_seed(4)
    changed = augment_sets(people, AugmentConfig(**change))
    assert (changed.images - people.images).abs().mean() > 0.01
    before, after = (_floor(batch) for batch in (people, changed))
    assert after["side"].nanmedian() < 1.3 * before["side"].nanmedian() + 5e-4
    stale = dataclasses.replace(changed, truth=dataclasses.replace(people.truth, view_depth=changed.truth.view_depth))
    assert _floor(stale)["side"].nanmedian() > 1.5 * after["side"].nanmedian(), "the view has to follow"
    untouched = augment_sets(dataclasses.replace(people, truth=None), AugmentConfig(exposure=0.2, gamma=0.2))
    assert untouched.truth is None and torch.equal(untouched.labels, people.labels)
