"""The graph face model: shapes of what it gives, the mean face at the start, poses, configurations and weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights
from backend.models.graph_face import MIDDLE, GraphFaceConfig, GraphFaceNet, WeakPerspective, persons_identity

SMALL = GraphFaceConfig(
    size=32, identity=8, expression=6, order=3, widths=(8, 8, 6, 4), albedo_widths=(6, 6, 4, 4), feature=16, landmarks=4
)


@pytest.fixture(scope="module")
def net() -> GraphFaceNet:
    torch.manual_seed(0)
    made = GraphFaceNet(SMALL).eval()
    template = load_template()
    points = torch.from_numpy(template.landmarks478.positions(template.vertices)).float()
    made.encoder.points.points.copy_(5 * (points - points.mean(0)))
    return made


def marks(count: int) -> torch.Tensor:
    """(count, 478, 3) points of the mean face seen from the front, a little beside their places."""
    template = load_template()
    points = torch.from_numpy(template.landmarks478.positions(template.vertices)).float()
    places = 0.5 + 5 * (points - points.mean(0))[:, :2] * torch.tensor([1.0, -1.0])
    places = places + 0.005 * torch.randn(count, *places.shape)
    return torch.cat([places, torch.full((*places.shape[:2], 1), 0.01)], 2)


def test_a_photo_becomes_codes_and_codes_a_face(net: GraphFaceNet) -> None:
    codes = net.encoder(torch.rand(3, 3, 32, 32), marks(3))
    assert codes.identity.shape == (3, 8)
    assert codes.expression.shape == (3, 6)
    assert codes.light.shape == (3, 9, 3)
    head = load_template().head.vertex_stop
    assert net.shape(codes.identity, codes.expression).shape == (3, head, 3)
    assert net.albedo(codes.identity).shape == (3, head, 3)
    assert torch.equal(net.neutral(codes.identity), net.shape(codes.identity, torch.zeros(3, 6)))


def test_who_somebody_is_does_not_depend_on_the_company(net: GraphFaceNet) -> None:
    pictures, seen = torch.rand(4, 3, 32, 32), marks(4)
    with torch.no_grad():
        together, alone = net.encoder(pictures, seen).identity, net.encoder(pictures[2:3], seen[2:3]).identity
        shapes = net.neutral(together)
        one = net.neutral(alone)
    assert torch.allclose(together[2:3], alone, atol=1e-5)
    assert torch.allclose(shapes[2:3], one, atol=1e-6)


def test_a_face_that_looks_into_the_camera_is_upright_and_in_the_middle() -> None:
    pose = WeakPerspective(torch.zeros(1, 3), torch.tensor([5.0]), torch.zeros(1, 2))
    template = load_template()
    vertices = torch.from_numpy(template.vertices)[None]
    places = pose.project(vertices)[0].numpy()
    left, right = (template.regions[f"lids_{side}"] > 0.5 for side in ("left", "right"))
    lips = template.regions["lips"] > 0.5
    assert places[left, 0].mean() > 0.5 > places[right, 0].mean()  # the person's left is seen on the right
    assert places[lips, 1].mean() > places[left, 1].mean()  # y goes down
    assert np.allclose(pose.project(torch.tensor([[MIDDLE]])), 0.5, atol=1e-6)


def test_turning_to_the_side_shows_the_cheek_and_keeps_lengths() -> None:
    turned = WeakPerspective(torch.tensor([[0.0, math.pi / 2, 0.0]]), torch.tensor([5.0]), torch.zeros(1, 2))
    rotation = turned.rotation()[0]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0, abs=1e-6)
    forward = turned.project(torch.tensor([[[MIDDLE[0], MIDDLE[1], MIDDLE[2] + 0.1]]]))[0, 0] - 0.5
    assert abs(float(forward[0])) == pytest.approx(0.5, abs=1e-5)
    assert float(forward[1]) == pytest.approx(0.0, abs=1e-5)


def test_configurations_survive_json_and_nonsense_is_refused() -> None:
    assert GraphFaceConfig.from_json(SMALL.to_json()) == SMALL
    for wrong in ({"size": 33}, {"order": 0}, {"widths": (8, 8)}):
        with pytest.raises(ValueError, match="must"):
            GraphFaceConfig(**wrong)


def test_weights_come_back_and_those_of_another_network_are_refused(net: GraphFaceNet) -> None:
    tensors = {name: value.clone() for name, value in net.trainable_state().items()}
    assert not any("convolution" in name for name in tensors if name.startswith("encoder.trunk"))
    again = GraphFaceNet.from_weights(ModelWeights("graph_face", SMALL.to_json(), tensors, "0" * 12))
    code = torch.rand(1, 8)
    with torch.no_grad():
        assert torch.equal(again.neutral(code), net.neutral(code))
    tensors.pop("encoder.top.weight")
    with pytest.raises(LikenessError):
        GraphFaceNet.from_weights(ModelWeights("graph_face", SMALL.to_json(), tensors, "0" * 12))


def test_a_person_is_the_mean_of_photos_by_confidence() -> None:
    codes = torch.tensor([[0.0, 1.0], [4.0, 3.0]])
    assert torch.allclose(persons_identity(codes, torch.tensor([3.0, 1.0])), torch.tensor([1.0, 1.5]))
    assert torch.allclose(persons_identity(codes, torch.ones(2)), codes.mean(0))


def test_points_of_a_face_move_what_is_read_and_without_them_they_are_not_looked_at(net: GraphFaceNet) -> None:
    pictures, seen = torch.rand(1, 3, 32, 32), marks(1)
    wider = seen * torch.tensor([1.1, 1.0, 1.0]) - torch.tensor([0.05, 0.0, 0.0])
    with torch.no_grad():
        assert not torch.equal(net.encoder(pictures, seen).identity, net.encoder(pictures, wider).identity)
        blind = GraphFaceNet(replace(SMALL, landmarks=0)).eval()
        assert torch.equal(blind.encoder(pictures, seen).identity, blind.encoder(pictures, wider).identity)
