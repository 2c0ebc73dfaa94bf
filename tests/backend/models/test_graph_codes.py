"""Codes of the graph face model for known shapes: its own shapes give their codes back."""

from __future__ import annotations

import pytest
import torch

from backend.geometry.template import load_template
from backend.models.graph_face import GraphFaceConfig, GraphFaceNet, codes_of_shape


@pytest.fixture(scope="module")
def net() -> GraphFaceNet:
    """A network whose shapes are far from linear in its codes."""
    torch.manual_seed(3)
    config = GraphFaceConfig(
        size=32, identity=6, expression=4, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8,
        linear=False,
    )  # fmt: skip
    made = GraphFaceNet(config).eval()
    with torch.no_grad():
        for parameter in made.shape_decoder.parameters():
            parameter.mul_(3.0)
    return made


@pytest.fixture(scope="module")
def weight() -> torch.Tensor:
    template = load_template()
    return torch.from_numpy(template.regions["face"][: template.head.vertex_stop])


@pytest.mark.parametrize("neutral", [True, False])
def test_a_shape_of_its_own_is_found_again(net: GraphFaceNet, weight: torch.Tensor, neutral: bool) -> None:
    torch.manual_seed(1)
    identity, expression = torch.randn(1, 6), torch.zeros(1, 4) if neutral else torch.randn(1, 4)
    with torch.no_grad():
        target = net.shape(identity, expression)[0]
        start = float((net.mean - target).norm(dim=-1)[weight > 0.5].mean())
    found = codes_of_shape(net, target, weight, prior=1e-12, neutral=neutral)
    assert float((found.shape - target).norm(dim=-1)[weight > 0.5].mean()) < 0.1 * start
    if neutral:
        assert not found.expression.any()


def test_what_the_weights_leave_out_does_not_count(net: GraphFaceNet, weight: torch.Tensor) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        target = net.neutral(torch.randn(1, 6))[0]
    broken = target.clone()
    broken[weight == 0] += 1.0
    one, other = (codes_of_shape(net, shape, weight, prior=1e-12, neutral=True) for shape in (target, broken))
    assert torch.allclose(one.identity, other.identity, atol=1e-4)


def test_a_strong_prior_gives_the_face_of_no_code(net: GraphFaceNet, weight: torch.Tensor) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        target = net.neutral(torch.randn(1, 6))[0]
    found = codes_of_shape(net, target, weight, prior=1.0)
    assert float(found.identity.abs().max()) < 1e-2
