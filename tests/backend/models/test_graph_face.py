"""The graph face model: its layers, the mean face at the start, codes of known shapes, and the fit that moves in it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from encoded_hand_made import nothing_known, photo_of

from backend.errors import DamagedFileError, LikenessError
from backend.fitting.fit import FaceModels, fit_face
from backend.fitting.options import FitOptions
from backend.fitting.stages import FittedFace
from backend.geometry.mesh_hierarchy import load_mesh_hierarchy
from backend.geometry.template import Template, load_template
from backend.models import graph_face
from backend.models.checkpoints import ModelWeights, fingerprint, half_precision, save_model
from backend.models.learned_basis.apply import EncodedFace
from backend.models.mobile_trunk import trainable_state
from backend.models.registry import GRAPH_FACE, forget_models, open_models
from backend.photos.collection import PhotoCollection, SurfaceLandmarks

SMALL = graph_face.GraphFaceConfig(
    size=32, identity=8, expression=6, order=3, widths=(8, 8, 6, 4), albedo_widths=(6, 6, 4, 4), feature=16, landmarks=4
)
LEVEL = 3
TINY = graph_face.GraphFaceConfig(
    size=32, identity=5, expression=4, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8, landmarks=0
)
CODE = np.array([1.6, -0.8, 0.9, 0.5, -0.6])


@pytest.fixture(scope="module")
def net() -> graph_face.GraphFaceNet:
    torch.manual_seed(0)
    made = graph_face.GraphFaceNet(SMALL).eval()
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


def test_a_photo_becomes_codes_and_codes_a_face(net: graph_face.GraphFaceNet) -> None:
    codes = net.encoder(torch.rand(3, 3, 32, 32), marks(3))
    assert codes.identity.shape == (3, 8)
    assert codes.expression.shape == (3, 6)
    assert codes.light.shape == (3, 9, 3)
    head = load_template().head.vertex_stop
    assert net.shape(codes.identity, codes.expression).shape == (3, head, 3)
    assert net.albedo(codes.identity).shape == (3, head, 3)
    assert torch.equal(net.neutral(codes.identity), net.shape(codes.identity, torch.zeros(3, 6)))


def test_who_somebody_is_does_not_depend_on_the_company(net: graph_face.GraphFaceNet) -> None:
    pictures, seen = torch.rand(4, 3, 32, 32), marks(4)
    with torch.no_grad():
        together, alone = net.encoder(pictures, seen).identity, net.encoder(pictures[2:3], seen[2:3]).identity
        shapes = net.neutral(together)
        one = net.neutral(alone)
    assert torch.allclose(together[2:3], alone, atol=1e-5)
    assert torch.allclose(shapes[2:3], one, atol=1e-6)


def test_a_face_that_looks_into_the_camera_is_upright_and_in_the_middle() -> None:
    pose = graph_face.WeakPerspective(torch.zeros(1, 3), torch.tensor([5.0]), torch.zeros(1, 2))
    template = load_template()
    vertices = torch.from_numpy(template.vertices)[None]
    places = pose.project(vertices)[0].numpy()
    left, right = (template.regions[f"lids_{side}"] > 0.5 for side in ("left", "right"))
    lips = template.regions["lips"] > 0.5
    assert places[left, 0].mean() > 0.5 > places[right, 0].mean()  # the person's left is seen on the right
    assert places[lips, 1].mean() > places[left, 1].mean()  # y goes down
    assert np.allclose(pose.project(torch.tensor([[graph_face.MIDDLE]])), 0.5, atol=1e-6)


def test_turning_to_the_side_shows_the_cheek_and_keeps_lengths() -> None:
    turned = graph_face.WeakPerspective(torch.tensor([[0.0, math.pi / 2, 0.0]]), torch.tensor([5.0]), torch.zeros(1, 2))
    rotation = turned.rotation()[0]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3), atol=1e-6)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0, abs=1e-6)
    forward = (
        turned.project(torch.tensor([[[graph_face.MIDDLE[0], graph_face.MIDDLE[1], graph_face.MIDDLE[2] + 0.1]]]))[0, 0]
        - 0.5
    )
    assert abs(float(forward[0])) == pytest.approx(0.5, abs=1e-5)
    assert float(forward[1]) == pytest.approx(0.0, abs=1e-5)


def test_configurations_survive_json_and_nonsense_is_refused() -> None:
    assert graph_face.GraphFaceConfig.from_json(SMALL.to_json()) == SMALL
    for wrong in ({"size": 33}, {"order": 0}, {"widths": (8, 8)}):
        with pytest.raises(ValueError, match="must"):
            graph_face.GraphFaceConfig(**wrong)


def test_weights_come_back_and_those_of_another_network_are_refused(net: graph_face.GraphFaceNet) -> None:
    tensors = {name: value.clone() for name, value in trainable_state(net).items()}
    assert not any("convolution" in name for name in tensors if name.startswith("encoder.trunk"))
    again = graph_face.GraphFaceNet.from_weights(ModelWeights("graph_face", SMALL.to_json(), tensors, "0" * 12))
    code = torch.rand(1, 8)
    with torch.no_grad():
        assert torch.equal(again.neutral(code), net.neutral(code))
    tensors.pop("encoder.top.weight")
    with pytest.raises(LikenessError):
        graph_face.GraphFaceNet.from_weights(ModelWeights("graph_face", SMALL.to_json(), tensors, "0" * 12))


def test_a_person_is_the_mean_of_photos_by_confidence() -> None:
    codes = torch.tensor([[0.0, 1.0], [4.0, 3.0]])
    assert torch.allclose(graph_face.persons_identity(codes, torch.tensor([3.0, 1.0])), torch.tensor([1.0, 1.5]))
    assert torch.allclose(graph_face.persons_identity(codes, torch.ones(2)), codes.mean(0))


def test_points_of_a_face_move_what_is_read_and_without_them_they_are_not_looked_at(
    net: graph_face.GraphFaceNet,
) -> None:
    pictures, seen = torch.rand(1, 3, 32, 32), marks(1)
    wider = seen * torch.tensor([1.1, 1.0, 1.0]) - torch.tensor([0.05, 0.0, 0.0])
    with torch.no_grad():
        assert not torch.equal(net.encoder(pictures, seen).identity, net.encoder(pictures, wider).identity)
        blind = graph_face.GraphFaceNet(replace(SMALL, landmarks=0)).eval()
        assert torch.equal(blind.encoder(pictures, seen).identity, blind.encoder(pictures, wider).identity)


@pytest.fixture(scope="module")
def laplacian() -> torch.Tensor:
    return graph_face.scaled_laplacian(load_mesh_hierarchy().levels[LEVEL])


def test_the_scaled_laplacian_is_symmetric_with_eigenvalues_between_minus_one_and_one(laplacian) -> None:
    dense = laplacian.to_dense().double()
    assert torch.allclose(dense, dense.T)
    values = torch.linalg.eigvalsh(dense)
    assert values.min() == pytest.approx(-1, abs=1e-5)  # a connected mesh: the constant, by the root of the degrees
    assert values.max() <= 1 + 1e-5


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_clenshaws_sum_is_that_of_the_polynomials(laplacian, order: int) -> None:
    torch.manual_seed(0)
    layer = graph_face.ChebyshevConvolution(laplacian, 5, 3, order)
    torch.nn.init.normal_(layer.bias)
    features = torch.randn(2, laplacian.shape[0], 5)
    dense = laplacian.to_dense().double()
    polynomials = [torch.eye(len(dense)).double(), dense]
    while len(polynomials) < order:
        polynomials.append(2 * dense @ polynomials[-1] - polynomials[-2])
    wanted = sum(polynomials[k] @ features.double() @ layer.weight[k].double().T for k in range(order)) + layer.bias
    assert torch.allclose(layer(features).double(), wanted, atol=1e-5)


def test_a_vertex_hears_of_others_order_minus_one_edges_away(laplacian) -> None:
    layer = graph_face.ChebyshevConvolution(laplacian, 1, 1, 3)
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
    layer = graph_face.ChebyshevConvolution(triangle, 2, 2, 4)
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
    layer = graph_face.ChebyshevConvolution(laplacian, 3, 2, 3)
    features = torch.randn(1, laplacian.shape[0], 3, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(features).square().sum(), features, create_graph=True)
    slope.square().sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_unpooling_interpolates() -> None:
    levels = load_mesh_hierarchy().levels
    up = graph_face.Unpooling(graph_face.unpooling(levels[LEVEL], len(levels[LEVEL - 1].vertices)))
    features = torch.randn(2, len(levels[LEVEL].vertices), 4)
    found = up(features)
    assert found.shape == (2, len(levels[LEVEL - 1].vertices), 4)
    assert found.max() <= features.max() + 1e-5
    assert torch.allclose(up(torch.ones_like(features)), torch.ones_like(found), atol=1e-5)


def test_an_order_of_zero_is_refused(laplacian) -> None:
    with pytest.raises(ValueError, match="order"):
        graph_face.ChebyshevConvolution(laplacian, 1, 1, 0)


@pytest.fixture(scope="module")
def curved() -> graph_face.GraphFaceNet:
    """A network whose shapes are far from linear in its codes."""
    torch.manual_seed(3)
    config = graph_face.GraphFaceConfig(
        size=32, identity=6, expression=4, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8,
        linear=False,
    )  # fmt: skip
    made = graph_face.GraphFaceNet(config).eval()
    with torch.no_grad():
        for parameter in made.shape_decoder.parameters():
            parameter.mul_(3.0)
    return made


@pytest.fixture(scope="module")
def weight() -> torch.Tensor:
    template = load_template()
    return torch.from_numpy(template.regions["face"][: template.head.vertex_stop])


@pytest.mark.parametrize("neutral", [True, False])
def test_a_shape_of_its_own_is_found_again(
    curved: graph_face.GraphFaceNet, weight: torch.Tensor, neutral: bool
) -> None:
    torch.manual_seed(1)
    identity, expression = torch.randn(1, 6), torch.zeros(1, 4) if neutral else torch.randn(1, 4)
    with torch.no_grad():
        target = curved.shape(identity, expression)[0]
        start = float((curved.mean - target).norm(dim=-1)[weight > 0.5].mean())
    found = graph_face.codes_of_shape(curved, target, weight, prior=1e-12, neutral=neutral)
    assert float((found.shape - target).norm(dim=-1)[weight > 0.5].mean()) < 0.1 * start
    if neutral:
        assert not found.expression.any()


def test_what_the_weights_leave_out_does_not_count(curved: graph_face.GraphFaceNet, weight: torch.Tensor) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        target = curved.neutral(torch.randn(1, 6))[0]
    broken = target.clone()
    broken[weight == 0] += 1.0
    one, other = (
        graph_face.codes_of_shape(curved, shape, weight, prior=1e-12, neutral=True) for shape in (target, broken)
    )
    assert torch.allclose(one.identity, other.identity, atol=1e-4)


def test_a_strong_prior_gives_the_face_of_no_code(curved: graph_face.GraphFaceNet, weight: torch.Tensor) -> None:
    torch.manual_seed(2)
    with torch.no_grad():
        target = curved.neutral(torch.randn(1, 6))[0]
    found = graph_face.codes_of_shape(curved, target, weight, prior=1.0)
    assert float(found.identity.abs().max()) < 1e-2


class BentNet(graph_face.GraphFaceNet):
    """A network whose neutral face bends with its code: three modes of the template, and the square of the first
    code's number along a fourth."""

    def shape(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        template = load_template()
        modes = torch.from_numpy(template.identity_modes[:6, : len(self.mean)])
        code = torch.cat([identity, 0.4 * identity[:, :1] ** 2], 1)
        return self.mean + torch.einsum("bk,kvc->bvc", code, modes)


@pytest.fixture(scope="module")
def model() -> graph_face.GraphModel:
    torch.manual_seed(3)
    return graph_face.GraphModel(BentNet(TINY).eval(), torch.device("cpu"), "bent")


def test_the_template_around_a_code_is_the_decoder_there(template: Template, model: graph_face.GraphModel) -> None:
    own = graph_face.template_around(template, model, CODE)
    count = template.head.vertex_stop

    def decoded(code: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.network.neutral(torch.from_numpy(code[None]).float())[0].double().numpy()

    def in_modes(code: np.ndarray) -> np.ndarray:
        return own.vertices + np.tensordot(code, own.identity_modes, 1)

    np.testing.assert_allclose(in_modes(CODE)[:count], decoded(CODE), atol=2e-6)
    near = CODE + np.array([0.05, -0.1, 0.0, 0.1, 0.0])
    bent = np.abs(decoded(near) - decoded(CODE)).max()
    assert np.abs(in_modes(near)[:count] - decoded(near)).max() < 0.02 * bent
    eye = template.parts["eye_left"]
    moved = in_modes(CODE)[eye.vertex_start : eye.vertex_stop] - template.vertices[eye.vertex_start : eye.vertex_stop]
    assert np.ptp(moved, axis=0).max() < 1e-6 < np.abs(moved).max()  # an eyeball moves as a whole, with the skin


def fitted(
    template: Template, model: graph_face.GraphModel, encoder_is_perfect: bool, renewed: bool
) -> tuple[FittedFace, np.ndarray]:
    """The fit to three photos of a face that the decoder has, and that face (V_head, 3)."""
    true = graph_face.template_around(template, model, CODE)
    made = [photo_of(true, CODE, np.zeros(52), yaw, 1.0, number) for number, yaw in enumerate((0.0, 25.0, -30.0))]
    faces = tuple(
        replace(face, surface=SurfaceLandmarks(face.landmarks[:, :2].astype(np.float64), np.full(478, 1.0)))
        for face, _ in made
    )
    count = template.head.vertex_stop
    face = (true.vertices + np.tensordot(CODE, true.identity_modes, 1))[:count]
    photos = tuple(photo for _, photo in made)
    code = CODE if encoder_is_perfect else np.zeros(5)
    start = EncodedFace(face - template.vertices[:count], np.full((count, 3), 0.3), photos, "made", code)
    start = start if encoder_is_perfect else nothing_known(start)
    around = partial(graph_face.template_around, template, model)
    result = fit_face(
        PhotoCollection(faces),
        FitOptions(dense=None, cage=None),
        template if renewed else around(code),
        FaceModels(encoded=lambda photos: start, modes_around=around if renewed else None),
    )
    return result, face


def face_mm(template: Template, first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance over the face."""
    count = template.head.vertex_stop
    face = template.regions["face"][:count] > 0.5
    return float(1e3 * np.linalg.norm((first[:count] - second)[face], axis=-1).mean())


def test_a_fit_moves_in_the_decoder_and_ends_on_one_of_its_faces(
    template: Template, model: graph_face.GraphModel
) -> None:
    found, truth = fitted(template, model, encoder_is_perfect=False, renewed=True)
    frozen, _ = fitted(template, model, encoder_is_perfect=False, renewed=False)
    start = face_mm(template, template.vertices, truth)
    assert face_mm(template, found.neutral, truth) < 0.5 * start
    assert face_mm(template, found.neutral, truth) < face_mm(template, frozen.neutral, truth)
    with torch.no_grad():
        own = model.network.neutral(torch.from_numpy(found.identity[None]).float())[0].numpy()
    lips = template.regions["lips"][: len(own)] + template.regions["mouth_interior"][: len(own)]
    still = lips < 0.01  # the fit shuts the lips afterwards
    assert np.median(np.linalg.norm(found.neutral[: len(own)] - own, axis=-1)[still]) < 1e-5


def test_one_person_whatever_the_order(template: Template, model: graph_face.GraphModel) -> None:
    zero = np.zeros(len(template.identity_modes)), np.zeros(52)
    faces = [photo_of(template, *zero, yaw, 1.0, number)[0] for number, yaw in enumerate((0.0, 20.0, -30.0))]
    seen: list[tuple[str, float]] = []
    one = graph_face.graph_face(faces, model, lambda stage, fraction: seen.append((stage, fraction)))
    turned = graph_face.graph_face(faces[::-1], model)
    np.testing.assert_allclose(one.code, turned.code, atol=1e-5)
    np.testing.assert_allclose(one.identity, turned.identity, atol=1e-6)
    assert seen == [("encoder", 0.0), ("encoder", 1.0)] and one.version == "bent"
    assert [photo.name for photo in one.photos] == [face.name for face in faces]
    assert 0 <= one.reflectance.min() <= one.reflectance.max() <= 1
    with pytest.raises(ValueError, match="at least one"):
        graph_face.graph_face((), model)


def test_weights_that_are_there_and_weights_that_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_models()
    monkeypatch.setenv(GRAPH_FACE.folder_variable, str(tmp_path / "none"))
    assert GRAPH_FACE.find() is None
    torch.manual_seed(0)
    config = replace(TINY, landmarks=4)
    tensors = half_precision(trainable_state(graph_face.GraphFaceNet(config)))
    save_model(ModelWeights(GRAPH_FACE.name, config.to_json(), tensors, fingerprint(tensors)), tmp_path / "model")
    monkeypatch.setenv(GRAPH_FACE.folder_variable, str(tmp_path / "model"))
    made = GRAPH_FACE.find()
    assert made is not None and made.wants_surface and made.version == fingerprint(tensors)
    taken = open_models(also={"graph_face"})
    assert taken.of(GRAPH_FACE, graph_face.GraphModel) is made and taken.to_report()["learned_basis"] == "not used"
    assert open_models().to_report()["graph_face"] == "not used"  # it is asked for, or stays away
    alone = open_models({"landmarks"}, also={"graph_face"}).to_report()  # its encoder wants what the landmark net sees
    assert alone["graph_face"] == "not used without landmarks" and len(alone["learned_basis"]) == 12
    forget_models()
    shard = next((tmp_path / "model").glob("*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-100] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(DamagedFileError):
        GRAPH_FACE.find()
    forget_models()
