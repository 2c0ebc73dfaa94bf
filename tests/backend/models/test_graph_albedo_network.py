"""The U-Net that corrects skins: what it leaves alone, what it is told, and its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from backend.models.checkpoints import ModelWeights, fingerprint, save_model
from backend.models.graph_face import GraphAlbedoConfig, GraphAlbedoModel, GraphAlbedoNet, skin_correction
from backend.models.registry import GRAPH_ALBEDO, forget_models, open_models

SMALL = GraphAlbedoConfig(size=16, widths=(4, 8))


def awake(config: GraphAlbedoConfig = SMALL) -> GraphAlbedoNet:
    torch.manual_seed(0)
    net = GraphAlbedoNet(config).eval()
    torch.nn.init.normal_(net.last.weight, std=0.1)
    return net


def skins(count: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    logs, cover = torch.randn(count, 3, 16, 16), (torch.rand(count, 16, 16) > 0.5).float()
    skin = torch.zeros(1, 16, 16)
    skin[:, 4:14] = 1.0
    return logs, cover, skin


def test_untrained_it_changes_nothing() -> None:
    logs, cover, skin = skins()
    assert torch.equal(GraphAlbedoNet(SMALL)(logs, cover, skin), logs)


def test_what_photos_show_and_what_is_no_skin_stays_as_it_is() -> None:
    net, (logs, cover, skin) = awake(), skins(2)
    with torch.no_grad():
        changed = (net(logs, cover, skin) - logs).abs().amax(1) > 0
    assert not bool((changed & ((cover == 1) | (skin == 0))).any())
    assert float(changed[(cover == 0) & (skin == 1).expand_as(cover)].float().mean()) > 0.9


def test_what_is_no_skin_has_no_say_and_a_brighter_skin_is_brighter() -> None:
    net, (logs, cover, skin) = awake(), skins(2)
    with torch.no_grad():
        found = net(logs, cover, skin)
        other = net(torch.where(skin[:, None] > 0, logs, 7.0), cover, skin)
        brighter = net(logs + 0.3, cover, skin)
    inside = (skin > 0).expand(2, 3, 16, 16)
    assert torch.equal(found[inside], other[inside])
    assert torch.allclose(brighter - found, torch.full_like(found, 0.3), atol=1e-4)


def test_with_no_photo_at_all_the_whole_skin_is_its_tone() -> None:
    net, (logs, _, skin) = awake(), skins()
    with torch.no_grad():
        found = net(logs, torch.zeros(1, 16, 16), skin)
    assert bool(torch.isfinite(found).all()) and not torch.equal(found, logs)


def test_it_is_small_and_its_weights_come_back() -> None:
    net = GraphAlbedoNet(GraphAlbedoConfig())
    assert sum(parameter.numel() for parameter in net.parameters()) < 600_000
    own = awake()
    state = dict(own.state_dict())
    again = GraphAlbedoModel.build(ModelWeights(GRAPH_ALBEDO.name, SMALL.to_json(), state, "0" * 12))
    given = skins()
    with torch.no_grad():
        assert torch.equal(again(*given), own(*given))
    with pytest.raises(LikenessError):
        GraphAlbedoModel.build(
            ModelWeights(GRAPH_ALBEDO.name, GraphAlbedoConfig(size=16, widths=(8, 8)).to_json(), state, "0" * 12)
        )


@pytest.mark.parametrize("wrong", [{"size": 18}, {"widths": (4,)}, {"widths": (4, 6)}])
def test_sizes_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        GraphAlbedoConfig(**{"size": 32, "widths": (4, 8, 8)} | wrong)


def test_it_takes_part_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {name: tensor.clone() for name, tensor in awake().state_dict().items()}
    save_model(ModelWeights(GRAPH_ALBEDO.name, SMALL.to_json(), tensors, fingerprint(tensors)), tmp_path)
    monkeypatch.setenv(GRAPH_ALBEDO.folder_variable, str(tmp_path))
    forget_models()
    try:
        model = open_models(also={GRAPH_ALBEDO.name}).of(GRAPH_ALBEDO, GraphAlbedoModel)
        assert model is not None and model.size == 16
    finally:
        forget_models()
    maps = [np.ascontiguousarray(one[0].numpy()) for one in skins()]
    correction = skin_correction(maps[0].transpose(1, 2, 0), maps[1], maps[2], model)
    assert correction.shape == (16, 16, 3) and np.abs(correction).max() > 0.01
    assert np.abs(correction[maps[1] == 1]).max() == 0
