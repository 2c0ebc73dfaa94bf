"""Textures as the product makes them beside the true skins, and the stage that learns what rules get wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.models.checkpoints import ModelWeights
from backend.models.graph_face import GraphAlbedoConfig, GraphAlbedoModel, GraphAlbedoNet
from trainer.methods.graph_face import albedo

CPU = torch.device("cpu")
SMALL = GraphAlbedoConfig(size=16, widths=(4, 8))


def wrong_where_unseen(by: float) -> albedo.SkinBatch:
    """Four skins whose lower half no photo shows, too dark there by so many log units."""
    torch.manual_seed(0)
    truth = 0.1 * torch.randn(4, 3, 16, 16) - 1.5
    cover = torch.zeros(4, 16, 16)
    cover[:, :8] = 1.0
    return albedo.SkinBatch(truth - by * (1 - cover)[:, None], cover, truth, torch.ones(16, 16))


def stage(**changes: object):
    source = albedo.CompletedSkinsConfig(size=16, people=3)
    return albedo.GraphAlbedoStageConfig(steps=1, batch=4, network=SMALL, source=source, **changes).build(CPU)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_real_person_is_made_once_and_the_truth_has_the_tone_of_what_is_seen(tmp_path: Path) -> None:
    config = albedo.CompletedSkinsConfig(
        size=64, texture=256, picture=192, people=1, photos=1, seed=5, folder=str(tmp_path)
    )
    batch = config.build().batch(range(1), CPU)
    again = config.build().batch(range(1, 2), CPU)
    assert all(torch.equal(getattr(batch, name), getattr(again, name)) for name in ("made", "cover", "truth"))
    seen = (batch.cover > 0.9) & (batch.skin > 0.5)
    unseen = (batch.cover < 0.05) & (batch.skin > 0.5)
    assert int(seen.sum()) > 100 and int(unseen.sum()) > 100
    apart = (batch.made - batch.truth).permute(0, 2, 3, 1)
    assert float(apart[batch.cover > 0.9].median().abs()) < 0.05
    assert 0.005 < float(apart[unseen].abs().mean()) < 0.5
    assert float(batch.cover[0, :, 0].max()) < 0.2, "the nape is at the sides of the chart"


def test_losses_of_textures_by_hand() -> None:
    truth = torch.zeros(1, 2, 2, 2)
    found = truth.clone()
    found[0, :, 0, 0] = torch.tensor([1.0, 3.0])
    weight = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    assert float(albedo.texture_difference(found, truth, weight)) == pytest.approx(2.0 / 3)
    inside = torch.tensor([[True, True], [True, False]])  # one pair in the first row, one in the first column
    assert float(albedo.texture_gradient_difference(found, truth, inside)) == pytest.approx(2.0 + 2.0)
    assert float(albedo.texture_gradient_difference(found, -found, inside)) == 0.0  # sizes of slopes alone


def test_differences_are_those_where_no_photo_looks() -> None:
    apart = albedo.unseen_differences(GraphAlbedoNet(SMALL), wrong_where_unseen(0.2))
    assert torch.allclose(apart, torch.full((4, 2), 0.2), atol=1e-5)


@pytest.mark.usefixtures("one_thread")
def test_it_learns_what_is_always_wrong_and_the_export_loads() -> None:
    batch, own = wrong_where_unseen(0.2), stage()
    with torch.no_grad():
        assert own.metrics([batch])["ratio"] == pytest.approx(1.0)
    groups = [{"params": group.parameters, "lr": 3e-3 * group.rate(0.0)} for group in own.parameter_groups()]
    optimizer = torch.optim.Adam(groups)
    for _ in range(40):
        optimizer.zero_grad()
        terms = own.step(batch, 0.0)
        sum(getattr(own.config.weights, name) * value for name, value in terms.items()).backward()
        optimizer.step()
    own.modules.eval()
    with torch.no_grad():
        after = own.metrics([batch])
    assert after["rules"] == pytest.approx(0.2, abs=1e-4) and after["ratio"] < 0.5
    made = own.export()
    assert made is not None
    again = GraphAlbedoModel.build(ModelWeights(made.model, made.config, made.tensors, "0" * 12))
    assert torch.equal(again.usual, own.modules["albedo"].usual)


def test_a_change_of_tone_does_not_change_what_is_to_be_learned() -> None:
    torch.manual_seed(0)
    terms = stage(tone=1.0).step(wrong_where_unseen(0.2), 0.0)
    assert float(terms["unseen"].detach()) == pytest.approx(0.2, abs=1e-4)
    assert np.isfinite(float(terms["gradient"].detach()))
