"""The U-Net of skins: what it is given and what it is not, and how photos are put together."""

from __future__ import annotations

import pytest
import torch

from backend.errors import LikenessError
from backend.models.checkpoints import ModelWeights
from backend.models.graph_face.skin_network import MODEL_NAME, GraphAlbedoConfig, GraphAlbedoNet, merged

SMALL = GraphAlbedoConfig(size=16, widths=(4, 8))


def awake(config: GraphAlbedoConfig = SMALL) -> GraphAlbedoNet:
    torch.manual_seed(0)
    net = GraphAlbedoNet(config).eval()
    torch.nn.init.normal_(net.last.weight, std=0.1)
    return net


def test_at_first_it_gives_the_mean_of_what_is_seen_everywhere() -> None:
    logs, cover = torch.full((1, 3, 16, 16), -1.5), torch.ones(1, 16, 16)
    logs[:, :, :4], cover[:, :4] = 9.0, 0.0
    found = GraphAlbedoNet(SMALL)(logs, cover)
    assert torch.allclose(found, torch.full_like(found, -1.5), atol=0.02)


def test_colours_that_no_photo_shows_do_not_matter_and_a_brighter_skin_is_brighter_everywhere() -> None:
    net, logs = awake(), torch.randn(2, 3, 16, 16)
    cover = (torch.rand(2, 16, 16) > 0.5).float()
    with torch.no_grad():
        found = net(logs, cover)
        other = net(torch.where(cover[:, None] > 0, logs, 7.0), cover)
        brighter = net(logs + 0.3, cover)
    assert torch.equal(found, other)
    seen = float(cover.sum((1, 2)).min())
    assert torch.allclose(brighter - found, torch.full_like(found, 0.3), atol=0.6 / seen + 0.01)


def test_the_mirrored_skin_gives_the_mirrored_albedo_where_the_network_is_symmetric() -> None:
    net, logs, cover = awake(), torch.randn(1, 3, 16, 16), torch.ones(1, 16, 16)
    for block in [*net.down, *net.up]:
        for layer in block:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.data = 0.5 * (layer.weight.data + layer.weight.data.flip(-1))
    with torch.no_grad():
        assert torch.allclose(net(logs.flip(-1), cover), net(logs, cover).flip(-1), atol=1e-5)


def test_photos_are_put_together_by_their_weights() -> None:
    logs = torch.tensor([1.0, 4.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 1, 3)
    weight = torch.tensor([[[[1.0, 0.5, 0.0]], [[0.5, 0.0, 0.0]]]])
    log_albedo, cover = merged(logs, weight)
    assert torch.allclose(log_albedo[0, :, 0], torch.tensor([2.0, 1.0, 0.0]).expand(3, 3))
    assert cover[0, 0].tolist() == [1.0, 0.5, 0.0]


def test_it_is_small_and_its_weights_come_back() -> None:
    net = GraphAlbedoNet(GraphAlbedoConfig())
    assert sum(parameter.numel() for parameter in net.parameters()) < 600_000
    own = awake()
    state = dict(own.state_dict())
    again = GraphAlbedoNet.from_weights(ModelWeights(MODEL_NAME, SMALL.to_json(), state, "0" * 12))
    logs, cover = torch.randn(1, 3, 16, 16), torch.ones(1, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(logs, cover), own(logs, cover))
    with pytest.raises(LikenessError):
        GraphAlbedoNet.from_weights(
            ModelWeights(MODEL_NAME, GraphAlbedoConfig(size=16, widths=(8, 8)).to_json(), state, "0" * 12)
        )


@pytest.mark.parametrize("wrong", [{"size": 18}, {"widths": (4,)}, {"widths": (4, 6)}])
def test_sizes_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        GraphAlbedoConfig(**{"size": 32, "widths": (4, 8, 8)} | wrong)
