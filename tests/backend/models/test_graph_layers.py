"""Chebyshev convolutions against dense polynomials and finite differences; unpooling."""

from __future__ import annotations

import pytest
import torch

from backend.geometry.mesh_hierarchy import load_mesh_hierarchy
from backend.models.graph_face import ChebyshevConvolution, Unpooling, scaled_laplacian, unpooling

LEVEL = 3


@pytest.fixture(scope="module")
def laplacian() -> torch.Tensor:
    return scaled_laplacian(load_mesh_hierarchy().levels[LEVEL])


def test_the_scaled_laplacian_is_symmetric_with_eigenvalues_between_minus_one_and_one(laplacian) -> None:
    dense = laplacian.to_dense().double()
    assert torch.allclose(dense, dense.T)
    values = torch.linalg.eigvalsh(dense)
    assert values.min() == pytest.approx(-1, abs=1e-5)  # a connected mesh: the constant, by the root of the degrees
    assert values.max() <= 1 + 1e-5


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_clenshaws_sum_is_that_of_the_polynomials(laplacian, order: int) -> None:
    torch.manual_seed(0)
    layer = ChebyshevConvolution(laplacian, 5, 3, order)
    torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, laplacian.shape[0], 5)
    dense = laplacian.to_dense().double()
    polynomials = [torch.eye(len(dense)).double(), dense]
    while len(polynomials) < order:
        polynomials.append(2 * dense @ polynomials[-1] - polynomials[-2])
    wanted = sum(polynomials[k] @ features.double() @ layer.weight[k].double().T for k in range(order)) + layer.bias
    assert torch.allclose(layer(features).double(), wanted, atol=1e-5)


def test_a_vertex_hears_of_others_order_minus_one_edges_away(laplacian) -> None:
    layer = ChebyshevConvolution(laplacian, 1, 1, 3)
    features = torch.zeros(1, laplacian.shape[0], 1)
    features[0, 0] = 1.0
    near = torch.linalg.matrix_power((laplacian.to_dense() != 0).double() + torch.eye(laplacian.shape[0]), 2)[0] > 0
    heard = (layer(features)[0, :, 0].detach() - layer.bias.detach()).abs() > 1e-7
    assert near.sum() < len(near)
    assert not heard[~near].any()
    assert heard[near].float().mean() > 0.9


def test_its_gradient_is_that_of_finite_differences() -> None:
    places = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
    triangle = torch.sparse_coo_tensor(places, torch.full((6,), -0.5), (3, 3), check_invariants=False).coalesce()
    torch.manual_seed(1)
    layer = ChebyshevConvolution(triangle, 2, 2, 4)
    features = torch.randn(1, 3, 2, requires_grad=True)
    pull = torch.randn(1, 3, 2)
    (layer(features) * pull).sum().backward()
    for index in range(6):
        step = torch.zeros(6)
        step[index] = 1e-2
        step = step.view(1, 3, 2)
        with torch.no_grad():
            change = ((layer(features + step) - layer(features - step)) * pull).sum() / 2e-2
        assert float(features.grad.flatten()[index]) == pytest.approx(float(change), abs=2e-3)


def test_the_gradient_of_a_gradient_reaches_the_weights(laplacian) -> None:
    """As the critic's penalty needs it."""
    layer = ChebyshevConvolution(laplacian, 3, 2, 3)
    features = torch.randn(1, laplacian.shape[0], 3, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(features).square().sum(), features, create_graph=True)
    slope.square().sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_unpooling_interpolates() -> None:
    levels = load_mesh_hierarchy().levels
    up = Unpooling(unpooling(levels[LEVEL], len(levels[LEVEL - 1].vertices)))
    features = torch.randn(2, len(levels[LEVEL].vertices), 4)
    found = up(features)
    assert found.shape == (2, len(levels[LEVEL - 1].vertices), 4)
    assert found.max() <= features.max() + 1e-5
    assert torch.allclose(up(torch.ones_like(features)), torch.ones_like(found), atol=1e-5)


def test_an_order_of_zero_is_refused(laplacian) -> None:
    with pytest.raises(ValueError, match="order"):
        ChebyshevConvolution(laplacian, 1, 1, 0)
