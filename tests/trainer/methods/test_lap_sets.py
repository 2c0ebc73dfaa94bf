"""Canonical truth of synthetic people, sets on disk, mixtures."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from backend.models.lap.network import CanonicalMaps, LapConfig
from backend.rendering.camera import View
from trainer.methods.lap.data import LapBatch, LapPeopleConfig
from trainer.methods.lap.sets import LapAugmentConfig, augment_sets, filled_depth
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
    assert error.side.nanmedian() < 0.008 and error.mad.nanmedian() < 20
    assert wrong.side.nanmedian() > 2 * error.side.nanmedian()


def test_canonical_faces_fill_the_square_and_look_at_the_camera(people: LapBatch) -> None:
    depth = people.truth.depth
    assert depth.shape == (2, 32, 32)
    known = depth > 0
    assert depth[known].min() >= 0.9 and depth[known].max() <= 1.1
    assert known[:, 10:22, 10:22].all()
    nose = depth[:, 14:22, 13:19].flatten(1).amin(1)
    cheeks = torch.stack([depth[:, 18, 6], depth[:, 18, 25]]).amin(0)
    assert (nose < cheeks - 0.02).all(), "the nose is nearest"


def test_albedo_is_skin_and_the_same_person_is_in_all_photos(people: LapBatch) -> None:
    seen = people.truth.albedo_seen
    assert (seen[:, 12:20, 12:20].float().mean((1, 2)) > 0.6).all()
    values = people.truth.albedo.permute(0, 2, 3, 1)[seen]
    assert values.min() > 0.05 and values.max() <= 1 and (values[:, 0] > values[:, 2]).float().mean() > 0.9
    assert people.set_of.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("change", [{"mirror": 1.0}, {"rotate_degrees": 15.0}, {"zoom": 0.1}, {"shift": 0.05}])
def test_changed_photos_keep_their_truth(people: LapBatch, change: dict[str, float]) -> None:
    torch.manual_seed(4)
    changed = augment_sets(people, LapAugmentConfig(**change))
    assert (changed.images - people.images).abs().mean() > 0.01
    before, after = (_floor(batch) for batch in (people, changed))
    assert after.side.nanmedian() < 1.3 * before.side.nanmedian() + 5e-4
    stale = dataclasses.replace(changed, truth=dataclasses.replace(people.truth, view_depth=changed.truth.view_depth))
    assert _floor(stale).side.nanmedian() > 1.5 * after.side.nanmedian(), "the view has to follow"
    untouched = augment_sets(dataclasses.replace(people, truth=None), LapAugmentConfig(exposure=0.2, gamma=0.2))
    assert untouched.truth is None and torch.equal(untouched.labels, people.labels)
