"""The weights in ``assets/lap``: size, model card, and that they see synthetic people as they are."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from backend.models.lap.apply import LapModel
from backend.models.lap.network import LapNet
from trainer.methods.lap.data import LapBatch, LapPeopleConfig
from trainer.methods.lap.evaluate import HELD_OUT_SEED
from trainer.methods.lap.stage import canonical_errors, view_degrees


@pytest.fixture(scope="module")
def network() -> LapNet:
    return LapModel.load().network


@pytest.fixture(scope="module")
def people(network: LapNet) -> LapBatch:
    config = LapPeopleConfig(size=network.config.size, seed=HELD_OUT_SEED, photos=4)
    return config.build().batch(range(300, 308), torch.device("cpu"))


@torch.inference_mode()
def test_every_canonical_face_has_a_nose_in_front_and_eyes_behind(network: LapNet, people: LapBatch) -> None:
    face, _ = network(people.images * 2 - 1, torch.arange(len(people.images)))
    depth = functional.interpolate(face.depth[:, None], (64, 64), mode="area")[:, 0]
    nose = depth[:, 30:46, 29:35].amin((1, 2))
    cheeks = (depth[:, 38:42, 18:22].mean((1, 2)) + depth[:, 38:42, 42:46].mean((1, 2))) / 2
    eyes = (depth[:, 23:28, 21:26].mean((1, 2)) + depth[:, 23:28, 38:43].mean((1, 2))) / 2
    assert (nose < cheeks - 0.015).all() and (nose < eyes - 0.015).all()
    assert (depth.std((1, 2)) > 0.01).all(), "no plane"


@torch.inference_mode()
def test_views_and_shapes_are_better_than_no_view_and_the_mean_face(network: LapNet, people: LapBatch) -> None:
    upright = torch.rad2deg((((people.truth.rotation.diagonal(dim1=1, dim2=2).sum(1)) - 1) / 2).clamp(-1, 1).acos())
    assert view_degrees(network, people).median() < 0.4 * upright.median()
    face, _ = network(people.images * 2 - 1, people.set_of)
    true = people.truth.depth
    mean = network.depth_from_raw(network.depth_decoder.mean).expand_as(true)  # where every code starts from
    assert canonical_errors(face.depth, true).side.mean() < 0.95 * canonical_errors(mean, true).side.mean()
