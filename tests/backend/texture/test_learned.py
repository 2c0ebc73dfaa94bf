"""The texture's unseen skin as the network corrects it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.graph_face import GraphAlbedoConfig, GraphAlbedoModel, GraphAlbedoNet
from backend.texture.albedo import bare_skin, with_learned_completion
from backend.texture.surface import head_surface, texture_space

SIZE, EDGE = 32, 256


def darkening(by: float) -> GraphAlbedoModel:
    """A network that darkens what no photo shows by so many log units."""
    net = GraphAlbedoNet(GraphAlbedoConfig(size=SIZE, widths=(4, 8))).eval()
    torch.nn.init.constant_(net.usual, -by)
    return GraphAlbedoModel(net, torch.device("cpu"), "0" * 12)


def test_only_unseen_skin_changes_and_by_what_the_network_says() -> None:
    template = load_template()
    albedo = np.full((EDGE, EDGE, 3), 160, np.uint8)
    coverage = np.zeros((EDGE, EDGE), np.float32)
    coverage[:, : EDGE // 2] = 1.0
    found = with_learned_completion(template, albedo, coverage, darkening(0.5)).astype(int)
    assert (found[:, : EDGE // 2 - EDGE // SIZE] == 160).all(), "photos show it"
    whole = np.kron(bare_skin(SIZE) > 0.99, np.ones((EDGE // SIZE,) * 2, bool))
    inside = np.zeros_like(whole)
    inside[8:-8, EDGE // 2 + 8 : -8] = True
    shades = found[whole & inside]
    assert len(shades) > 500
    # 160 is 0.352 in linear light, exp(-0.5) of that is 0.2135 and that is 127
    assert np.abs(np.median(shades, axis=0) - 127).max() <= 1
    chart = texture_space(template, EDGE).skin.image(np.ones(len(texture_space(template, EDGE).skin.texel), bool))
    outside = ~chart & (np.kron(bare_skin(SIZE), np.ones((EDGE // SIZE,) * 2)) == 0)
    assert (found[outside & (np.indices(chart.shape)[1] > EDGE // 2)] >= 150).mean() > 0.95


def test_the_correction_fades_towards_the_charts_border_and_spares_scalp_and_mouth() -> None:
    template, size = load_template(), 128
    atlas, skin = texture_space(template, size).skin, bare_skin(size)
    scalp = atlas.image(atlas.sample(head_surface(template).regions["scalp"][:, None])[:, 0])
    assert skin[scalp > 0.99].max() < 0.01
    chart = atlas.image(np.ones(len(atlas.texel), bool))
    inner = chart.copy()
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(chart, step, axis)
    assert skin[chart & ~inner].max() < 0.25 and skin[~chart].max() == 0
    assert skin.max() == pytest.approx(1)
    assert np.abs(skin - skin[:, ::-1]).mean() < 0.01, "the chart is its own mirror image"
