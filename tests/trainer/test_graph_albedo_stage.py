"""Skins in UV: what photos show of them, and the stage that learns to complete them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.models.checkpoints import ModelWeights
from backend.models.graph_face.skin_network import GraphAlbedoConfig, GraphAlbedoNet
from trainer.data.graph.skins import GraphSkinsConfig, SkinBatch, without_cast
from trainer.losses import graph_face as losses
from trainer.stages.graph_albedo import GraphAlbedoStageConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def skins(tmp_path_factory: pytest.TempPathFactory) -> SkinBatch:
    folder = tmp_path_factory.mktemp("skins")
    source = GraphSkinsConfig(size=64, picture=96, people=3, seed=5, folder=str(folder)).build()
    batch = source.batch(range(3), CPU)
    again = GraphSkinsConfig(size=64, picture=96, people=3, seed=5, folder=str(folder)).build().batch(range(3, 6), CPU)
    assert all(torch.equal(getattr(batch, name), getattr(again, name)) for name in ("log_albedo", "weight", "truth"))
    return batch


@pytest.mark.usefixtures("one_thread")
def test_photos_show_the_middle_of_the_face_in_its_colours_and_never_the_nape(skins: SkinBatch) -> None:
    assert bool((skins.weight * ~skins.covered == 0).all())
    cheeks = skins.weight[:, :, 30:38, 24:40].amax(1)  # some photo of each person shows them
    assert float(cheeks.mean()) > 0.6
    assert float(skins.weight[:, :, 10:40, :4].max()) == 0.0  # the back of the head is at the sides of the chart
    apart = (skins.log_albedo - skins.truth[:, None]).abs().mean(2)
    seen = skins.weight > 0.9
    assert float(apart[seen].median()) < 0.35


def test_a_cast_goes_and_contrast_stays() -> None:
    truth = torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 2.0, 1.0]]]).transpose(0, 1)  # one photo, two texels
    shown = 0.5 * truth + torch.tensor([4.0, 5.0, 6.0])
    found = without_cast(shown, torch.tensor([[1.0, 1.0]]), truth)
    assert torch.allclose(found.mean(1), truth.mean(1))
    assert torch.allclose(found[0, 1] - found[0, 0], 0.5 * (truth[0, 1] - truth[0, 0]))


def test_losses_of_textures_by_hand() -> None:
    truth = torch.zeros(1, 2, 2, 2)
    found = truth.clone()
    found[0, :, 0, 0] = torch.tensor([1.0, 3.0])
    weight = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]])
    assert float(losses.texture_difference(found, truth, weight)) == pytest.approx(2.0 / 3)
    inside = torch.tensor([[True, True], [True, False]])  # one pair in the first row, one in the first column
    assert float(losses.texture_gradient_difference(found, truth, inside)) == pytest.approx(2.0 + 2.0)
    assert float(losses.texture_gradient_difference(found, -found, inside)) == 0.0  # sizes of slopes alone


@pytest.mark.usefixtures("one_thread")
def test_it_learns_a_few_skins_by_heart_and_the_export_loads(skins: SkinBatch) -> None:
    torch.manual_seed(0)
    network = GraphAlbedoConfig(size=64, widths=(8, 12, 16))
    source = GraphSkinsConfig(size=64, people=3)
    stage = GraphAlbedoStageConfig(steps=1, batch=3, network=network, source=source, mirror=False).build(CPU)
    weights = stage.config.weights
    tables = [{"params": group.parameters, "lr": 3e-3 * group.rate(0.0)} for group in stage.parameter_groups()]
    optimizer = torch.optim.Adam(tables)
    with torch.no_grad():
        before = stage.metrics([skins])
    assert before["one.ratio"] == pytest.approx(1.0, abs=0.05)  # it begins with the tone that is seen
    for _ in range(40):
        optimizer.zero_grad()
        sum(getattr(weights, name) * value for name, value in stage.step(skins, 0.0).items()).backward()
        optimizer.step()
    stage.modules.eval()
    with torch.no_grad():
        after = stage.metrics([skins])
    assert after["one"] < 0.8 * before["one"]
    assert stage.pictures(skins)["skins"].shape == (3, 3 * 64, 3 * 64)
    made = stage.export()
    assert made is not None
    again = GraphAlbedoNet.from_weights(ModelWeights(made.model, made.config, made.tensors, "0" * 12))
    assert torch.equal(again.usual, stage.modules["albedo"].usual)


def test_a_person_is_always_shown_by_a_photo(tmp_path: Path, skins: SkinBatch) -> None:
    source = GraphSkinsConfig(size=64, people=3, folder=str(tmp_path))
    stage = GraphAlbedoStageConfig(steps=1, batch=1, source=source, fewer=1.0).build(CPU)
    for seed in range(5):
        torch.manual_seed(seed)
        _, cover = stage._shown(skins)
        for person in range(3):
            assert any(torch.equal(cover[person], skins.weight[person, photo]) for photo in range(2))
