"""The detail network: regions are hard forwards and soft backwards, photos fuse, expressions ride on the attribute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from backend.models import detail
from backend.models.registry import DETAIL, forget_models

SMALL = detail.DetailConfig(size=64, coarse=16, widths=(8, 8, 8, 8), patterns=4, regions=4, expression_width=8)


@pytest.fixture
def net() -> detail.DetailNet:
    torch.manual_seed(1)
    return detail.DetailNet(SMALL).eval()


def photos(count: int, seed: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shown = torch.randn(count, 7, 64, 64, generator=g)
    shown[:, 5] = 1.0
    return shown, torch.randn(count, 9, 16, 16, generator=g)


def test_each_place_gets_the_filter_of_its_region() -> None:
    torch.manual_seed(0)
    layer = detail.RegionAwareConvolution(features=5, inputs=3, outputs=2, regions=4, kernel=3)
    values, features = torch.randn(2, 3, 6, 7), torch.randn(2, 5, 6, 7)
    out = layer(values, features)
    filters = layer.filters(features).view(2, 4, 2, 3, 3, 3)
    region = layer.guide(features).argmax(1)
    for sample in range(2):
        every = [torch.nn.functional.conv2d(values[sample : sample + 1], f, padding=1)[0] for f in filters[sample]]
        for row, column in ((0, 0), (3, 4), (5, 6)):
            expected = every[int(region[sample, row, column])][:, row, column]
            torch.testing.assert_close(out[sample, :, row, column], expected, rtol=1e-4, atol=1e-5)


def test_regions_are_hard_forwards_and_soft_backwards() -> None:
    guide = torch.randn(1, 4, 3, 3, requires_grad=True)
    regions = detail.hard_regions(guide)
    assert set(regions.detach().round(decimals=5).unique().tolist()) == {0.0, 1.0}
    weight = torch.randn(1, 4, 3, 3)
    (regions * weight).sum().backward()
    soft = guide.detach().clone().requires_grad_()
    (torch.softmax(soft, 1) * weight).sum().backward()
    torch.testing.assert_close(guide.grad, soft.grad)


def test_photos_of_one_person_fuse_whatever_their_order(net: detail.DetailNet) -> None:
    shown, expressions = photos(3)
    one = torch.zeros(3, dtype=torch.int64)
    a = net.attribute(shown, expressions, one)
    b = net.attribute(shown.flip(0), expressions.flip(0), one)
    torch.testing.assert_close(a.patterns, b.patterns, rtol=1e-3, atol=1e-4)
    assert a.patterns.shape == (1, 4, 64, 64) and a.always.shape == (1, 1, 64, 64)


def test_a_photo_that_shows_nothing_hardly_counts(net: detail.DetailNet) -> None:
    shown, expressions = photos(2)
    alone = net.attribute(shown[:1], expressions[:1], torch.zeros(1, dtype=torch.int64))
    hidden = shown.clone()
    hidden[1, 5] = 0.0
    both = net.attribute(hidden, expressions, torch.zeros(2, dtype=torch.int64))
    seen = net.attribute(shown, expressions, torch.zeros(2, dtype=torch.int64))
    assert (both.always - alone.always).abs().mean() < 0.3 * (seen.always - alone.always).abs().mean()


def test_people_do_not_see_each_other(net: detail.DetailNet) -> None:
    shown, expressions = photos(3)
    together = net.attribute(shown, expressions, torch.tensor([0, 0, 1]))
    alone = net.attribute(shown[2:], expressions[2:], torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(together.patterns[1:], alone.patterns, rtol=1e-3, atol=1e-4)


def test_the_same_attribute_with_another_expression_is_another_relief(net: detail.DetailNet) -> None:
    attribute = net.attribute(*photos(1), torch.zeros(1, dtype=torch.int64))
    found = net.displacement(detail.repeated(attribute, [0, 0]), photos(2, seed=5)[1])
    assert found.shape == (2, 1, 64, 64) and found.dtype == torch.float32
    assert not torch.allclose(found[0], found[1])


def test_wrong_shapes_are_named(net: detail.DetailNet) -> None:
    shown, expressions = photos(1)
    with pytest.raises(ValueError, match="expected maps"):
        net.attribute(shown[..., :32], expressions, torch.zeros(1, dtype=torch.int64))
    with pytest.raises(ValueError, match="size must be"):
        detail.DetailConfig(size=100)
    assert detail.DetailConfig.from_json(SMALL.to_json()) == SMALL


@pytest.fixture
def nothing_loaded() -> Iterator[None]:
    forget_models()
    yield
    forget_models()


@pytest.mark.usefixtures("nothing_loaded")
def test_the_shipped_network_lies_and_computes_where_it_is_told() -> None:
    """``meta`` stands in for a GPU: it takes a tensor from the CPU as little as one does."""
    model = DETAIL.load("meta")
    assert model.device == torch.device("meta")
    assert {value.device.type for value in model.network.state_dict().values()} == {"meta"}
    config = model.network.config
    shown = torch.zeros(2, 7, config.size, config.size, device="meta")
    expressions = torch.zeros(2, 9, config.coarse, config.coarse, device="meta")
    attribute = model.network.attribute(shown, expressions, torch.zeros(2, dtype=torch.int64, device="meta"), 1)
    heights = model.network.displacement(attribute, expressions[:1])
    assert heights.device.type == "meta" and heights.shape == (1, 1, config.size, config.size)
