"""The learned face model: bases on the graph, orthogonality, codes of sets whatever the order, poses, files."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest
import torch

from backend.errors import LikenessError
from backend.geometry.deformation_graph import GraphSurface, build_graph, build_surface
from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights, half_precision, load_weights_into, save_model
from backend.models.learned_basis import network as basis_net
from backend.models.learned_basis.apply import BasisModel

NODES = 60
SMALL = basis_net.LearnedBasisConfig(
    size=32, level=0, nodes=NODES, identity=6, reflectance=5, expression=4, width=8, stages=3, feature=32, focal=0.0
)


@cache
def small_surface() -> GraphSurface:
    return build_surface(load_template(), build_graph(load_template(), NODES), 0)


def random_bases(**changes: object) -> basis_net.FaceBases:
    bases = basis_net.FaceBases(dataclasses.replace(SMALL, **changes), small_surface())
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for basis in (bases.identity_raw, bases.expression):
            basis.copy_(torch.randn(basis.shape, generator=g))
        bases.reflectance.copy_(0.02 * torch.randn(bases.reflectance.shape, generator=g))
    return bases


def network() -> basis_net.LearnedBasisNet:
    torch.manual_seed(0)
    return basis_net.LearnedBasisNet(SMALL, small_surface()).eval()


def test_from_zero_every_face_is_the_mean_and_still_every_basis_learns() -> None:
    net = network()
    code = net(torch.rand(3, 3, 32, 32), torch.tensor([0, 0, 1]))
    face = net.face(code)
    torch.testing.assert_close(face.vertices, small_surface().mean.expand_as(face.vertices))
    assert code.identity.shape == (2, 6) and code.expression.shape == (3, 4) and face.reflectance.shape[0] == 3
    (face.vertices.square().sum() + face.reflectance.square().sum()).backward()
    for basis in (net.bases.identity_raw, net.bases.expression, net.bases.reflectance):
        assert basis.grad.abs().max() > 0


def test_identity_is_orthogonal_to_expression_as_offsets_of_vertices() -> None:
    bases = random_bases()
    surface, skin = small_surface(), small_surface().skin
    move = surface.upsampling(eyes=True).to_dense()[:skin]
    identity = torch.einsum("vg,mgc->mvc", move, bases.identity()).flatten(1).double()
    expression = torch.einsum("vg,mgc->mvc", move, bases.expression).flatten(1).double()
    cosine = (identity @ expression.T) / (identity.norm(dim=1)[:, None] * expression.norm(dim=1))
    assert cosine.abs().max() < 1e-5
    raw = torch.einsum("vg,mgc->mvc", move, bases.identity_raw).flatten(1).double()
    assert ((raw @ expression.T) / (raw.norm(dim=1)[:, None] * expression.norm(dim=1))).abs().max() > 0.03
    left = raw - identity  # what was taken out is made of expressions alone
    rest = left - (torch.linalg.lstsq(expression.T, left.T).solution.T @ expression)
    assert rest.norm() < 1e-4 * left.norm()
    free = random_bases(orthogonal=False)
    assert free.identity() is free.identity_raw


def test_an_expression_moves_the_skin_alone_and_an_identity_takes_the_eyes_along() -> None:
    bases = random_bases()
    surface = small_surface()
    one = torch.eye(6)[:1], torch.eye(4)[:1]
    identity, expression = bases.node_offsets(*one)
    eyes = slice(surface.skin, None)
    both, alone = bases.vertices(identity, expression), bases.vertices(identity)
    assert torch.equal(both[:, eyes], alone[:, eyes]) and not torch.equal(both, alone)
    moved = (alone - surface.mean)[0, eyes]
    count = (len(surface.mean) - surface.skin) // 2
    assert moved[:count].std(0).max() < 1e-7 and moved[:count].norm(dim=1).min() > 1e-6
    dense = surface.mean[: surface.skin] + 1e-3 * torch.einsum(
        "vg,gc->vc", surface.upsampling(eyes=True).to_dense()[: surface.skin], (identity + expression)[0]
    )
    torch.testing.assert_close(both[0, : surface.skin], dense, atol=1e-6, rtol=0)


def test_codes_of_a_set_do_not_depend_on_the_order_of_its_photos() -> None:
    net = network()
    pictures, set_of = torch.rand(5, 3, 32, 32) * 2 - 1, torch.tensor([0, 0, 0, 1, 1])
    order = torch.tensor([2, 0, 1, 4, 3])
    with torch.no_grad():
        code, turned = net(pictures, set_of), net(pictures[order], set_of[order])
        alone = net(pictures[:1], torch.zeros(1, dtype=torch.long))
    torch.testing.assert_close(turned.identity, code.identity)
    torch.testing.assert_close(turned.reflectance, code.reflectance)
    torch.testing.assert_close(turned.expression, code.expression[order])
    torch.testing.assert_close(turned.light, code.light[order])
    torch.testing.assert_close(turned.pose.angles, code.pose.angles[order])
    torch.testing.assert_close(alone.expression, code.expression[:1])
    assert (alone.identity - code.identity[:1]).abs().max() > 1e-5, "the other photos have a say in identity"
    assert code.expression.std(0).min() > 1e-4, "and none in expression, which differs"


def test_the_encoder_sees_how_bright_a_photo_is() -> None:
    torch.manual_seed(1)
    net = network()
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        net.encoder.stem.weight.sub_(net.encoder.stem.weight.mean((1, 2, 3), keepdim=True))  # blind to even light
        net.encoder.top.weight.zero_()
        bright, dark = (net(k * picture * 2 - 1, torch.zeros(1, dtype=torch.long)).light for k in (1.0, 0.5))
    assert (bright - dark).abs().max() > 1e-3


def test_an_encoder_may_read_landmarks_beside_pictures() -> None:
    torch.manual_seed(0)
    net = basis_net.LearnedBasisNet(dataclasses.replace(SMALL, landmark_components=6), small_surface()).eval()
    pictures, set_of = torch.rand(8, 3, 32, 32) * 2 - 1, torch.arange(8)
    shape = 0.5 + 0.1 * torch.randn(1, basis_net.LANDMARKS, 2)
    spread = torch.randn(5, basis_net.LANDMARKS, 2)
    landmarks = shape + 0.01 * torch.einsum("nk,klc->nlc", torch.randn(40, 5), spread)
    reader = net.encoder.landmarks
    reader.whitening(landmarks)
    components = (landmarks.flatten(1) - reader.mean) @ reader.basis
    assert (components[:, :5].var(0, correction=0) - 1).abs().max() < 0.05 and components[:, 5:].var() < 0.01
    weights = half_precision(net.state_dict())
    assert torch.equal(weights["encoder.landmarks.basis"].float(), reader.basis), "nothing is lost in float16"
    with torch.no_grad():
        code, other = net(pictures, set_of, landmarks[:8]), net(pictures, set_of, landmarks[8:16])
    assert (code.pose.angles - other.pose.angles).abs().max() > 1e-4
    with pytest.raises(ValueError, match="landmarks"):
        net(pictures, set_of)
    with pytest.raises(ValueError, match="components"):
        reader.whitening(landmarks[:4])


@pytest.mark.parametrize("focal", [0.0, 4.0])
def test_poses_put_the_face_where_they_say(focal: float) -> None:
    encoder = basis_net.LearnedBasisNet(dataclasses.replace(SMALL, focal=focal), small_surface()).encoder
    raw = torch.tensor([[0.0] * 7, [0.0, 0.3, 0.0, 0.2, -0.1, 0.4, 0.3]])
    pose = encoder._pose(raw)
    cameras = pose.cameras(100)
    middle = cameras.project(torch.tensor([[[0.0, 0.70, 0.11]]]).expand(2, 1, 3))[:, 0]
    torch.testing.assert_close(middle[:, :2], 50 + 100 * pose.shift)
    torch.testing.assert_close(middle[:, 2], pose.distance)
    beside = cameras.project(torch.tensor([[[0.001, 0.70, 0.11], [0.0, 0.701, 0.11], [0.0, 0.7, 0.12]]]))[0]
    torch.testing.assert_close(beside[0, 0] - middle[0, 0], 0.1 * pose.scale[0], rtol=1e-2, atol=1e-3)
    assert beside[1, 1] < middle[0, 1] and beside[2, 2] < middle[0, 2], "up is up, the nose is nearest"
    fixed = (cameras.intrinsics[:, 0, 0] - 400).abs().max() < 1e-2
    assert fixed.item() == bool(focal)
    straight = basis_net.FacePose(torch.zeros(1, 3), torch.zeros(1, 2), torch.tensor([5.0]), torch.tensor([1.0]))
    torch.testing.assert_close(straight.cameras(10).rotation[0], torch.diag(torch.tensor([1.0, -1.0, -1.0])))


def test_a_saved_model_gives_the_same_codes(tmp_path: Path) -> None:
    net = network()
    weights = ModelWeights("learned_basis", SMALL.to_json(), half_precision(net.state_dict()), "abc")
    save_model(weights, tmp_path)
    again = basis_net.LearnedBasisNet(basis_net.LearnedBasisConfig.from_json(SMALL.to_json()), small_surface())
    from backend.models.checkpoints import load_model

    load_weights_into(again, load_model("learned_basis", tmp_path))
    pictures, set_of = torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        first, second = net(pictures, set_of), again.eval()(pictures, set_of)
    assert isinstance(first, basis_net.FaceCode)
    torch.testing.assert_close(first.expression, second.expression, atol=3e-3, rtol=0)
    with pytest.raises(LikenessError, match="not trained"):
        BasisModel.load(tmp_path / "nothing")
