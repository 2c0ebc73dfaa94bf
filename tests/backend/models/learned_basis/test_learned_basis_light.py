"""Light that is solved from a photo's colours in the pass of the learned face model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from encoded_hand_made import TINY, tiny_network
from torch import Tensor

from backend.models.learned_basis import network as basis_net
from backend.models.learned_basis.apply import render_face
from backend.rendering.spherical_harmonics import light_from_directions, shade

_SIDE = 64


@pytest.fixture(scope="module")
def network() -> basis_net.LearnedBasisNet:
    network = tiny_network()
    network.config = replace(network.config, light="solved")
    return network


def lamps() -> Tensor:
    """(2, 9, 3) lights from the left above and from the right, of different tints."""
    tints = torch.tensor([[[0.9, 0.8, 0.6]], [[0.4, 0.5, 0.7]]])
    towards = torch.tensor([[[0.4, 0.5, 0.77]], [[-0.6, 0.1, 0.79]]])
    return torch.stack([light_from_directions(a, b, 0.3) for a, b in zip(towards, tints, strict=True)])


def wrong_code(network: basis_net.LearnedBasisNet) -> basis_net.FaceCode:
    """Two faces from the front whose predicted light is far too dark."""
    generator = torch.Generator().manual_seed(2)
    config = network.config
    pose = basis_net.FacePose(
        torch.tensor([[0.0, 0.0, 0.0], [0.1, -0.5, 0.0]]), torch.zeros(2, 2), torch.full((2,), 5.0), torch.ones(2)
    )
    return basis_net.FaceCode(
        identity=torch.randn(2, config.identity, generator=generator),
        reflectance=torch.randn(2, config.reflectance, generator=generator),
        expression=0.3 * torch.randn(2, config.expression, generator=generator),
        light=0.3 * lamps(),
        pose=pose,
        set_of=torch.arange(2),
    )


def photos(
    network: basis_net.LearnedBasisNet, code: basis_net.FaceCode, light: Tensor
) -> tuple[basis_net.ModelledFace, Tensor, Tensor]:
    """The faces, their pictures (2, 3, S, S) in [-1, 1] under a light, and where they are (2, S, S)."""
    face = network.face(code)
    made = render_face(network.bases, face, code.pose.cameras(_SIDE).project(face.vertices), light, _SIDE)
    return face, torch.where(made.mask[:, None], made.image, 0.5) * 2 - 1, made.mask


def shading_error(network: basis_net.LearnedBasisNet, found: Tensor, true: Tensor) -> float:
    """Mean difference of shading over directions that the photos show, relative to its mean."""
    directions = torch.nn.functional.normalize(torch.randn(400, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    directions = directions[directions[:, 2] > 0.5].expand(2, -1, 3)
    wanted = shade(directions, true)
    return float((shade(directions, found) - wanted).abs().mean() / wanted.mean())


@torch.no_grad()
def test_the_light_that_a_picture_was_made_with_is_found(network: basis_net.LearnedBasisNet) -> None:
    code = wrong_code(network)
    _, pictures, _ = photos(network, code, lamps())
    found = network.lit(code, pictures)
    assert shading_error(network, found.light, lamps()) < 0.06 < 0.5 < shading_error(network, code.light, lamps())
    for name in ("identity", "reflectance", "expression", "set_of"):
        assert torch.equal(getattr(found, name), getattr(code, name))
    plain = tiny_network()
    assert plain.lit(code, pictures) is code, "the paper's light is the encoder's"


@torch.no_grad()
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(slice(0, 5), slice(20, 44)), (slice(0, 11), slice(16, 48)), (slice(47, 59), slice(20, 44))],
    ids=["fringe", "down to the eyes", "beard"],
)
def test_black_hair_has_little_say(
    network: basis_net.LearnedBasisNet, rows: slice, columns: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = wrong_code(network)
    _, pictures, _ = photos(network, code, lamps())
    pictures[..., rows, columns] = -0.95
    robust = shading_error(network, network.lit(code, pictures).light, lamps())
    monkeypatch.setattr(basis_net, "_ROUNDS", 0)
    monkeypatch.setattr(basis_net, "_FIRST_HOLD", 0.0)
    plain = shading_error(network, network.lit(code, pictures).light, lamps())
    assert robust < 0.08 < 0.2 < plain


def test_the_light_is_part_of_the_pass_and_gradients_go_through_it(network: basis_net.LearnedBasisNet) -> None:
    pictures, alone = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1, torch.arange(2)
    code = network(pictures, alone)
    predicted = network.encoder(pictures, alone)
    assert not torch.allclose(code.light, predicted.light)
    torch.testing.assert_close(code.light, network.lit(predicted, pictures).light)
    network.zero_grad()
    code.light.square().sum().backward()
    gradient = network.encoder.reflectance.weight.grad
    assert gradient is not None and bool(torch.isfinite(gradient).all()) and gradient.abs().max() > 0
    network.zero_grad()


def test_areas_are_those_of_the_faces_around_a_vertex() -> None:
    corners = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    areas = basis_net.vertex_areas(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    torch.testing.assert_close(areas, torch.tensor([4.0, 2.0, 4.0, 2.0]) / 3)


def test_models_from_before_have_the_light_that_they_predict() -> None:
    values = TINY.to_json()
    del values["light"]
    assert basis_net.LearnedBasisConfig.from_json(values).light == "predicted"
    with pytest.raises(ValueError, match="light must be"):
        replace(TINY, light="guessed")
