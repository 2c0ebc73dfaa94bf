"""The graph face model: its stage, losses and figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.checkpoints import ModelWeights
from backend.models.graph_face import GraphCodes, GraphFaceConfig, GraphFaceNet
from trainer.engine.contracts import ExportedModel, OptimizerConfig
from trainer.engine.trainee import Trainee
from trainer.methods.graph_face import data
from trainer.methods.graph_face import evaluate as graph
from trainer.methods.graph_face import stage as losses
from trainer.methods.graph_face.data import SEED as LINEAR_SEED
from trainer.methods.graph_face.stage import GraphFaceStage, GraphFaceStageConfig, GraphFaceWeights

CPU = torch.device("cpu")
SMALL = GraphFaceConfig(
    size=32,
    identity=8,
    expression=6,
    order=3,
    widths=(16, 12, 8, 6),
    albedo_widths=(6, 6, 4, 4),
    feature=16,
    landmarks=4,
    linear=False,
)
ADVERSARIAL = {"weights": GraphFaceWeights(adversary=0.1), "adversary": OptimizerConfig(learning_rate=1e-3)}
SMALL_of_evaluate_graph = GraphFaceConfig(
    size=32, identity=12, expression=8, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8, landmarks=0
)


@pytest.fixture(autouse=True)
def _few_landmark_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SHAPE_PEOPLE", 100)  # all 3,000 take seconds, for each stage


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where drawn people are kept: each is drawn once for all tests."""
    return tmp_path_factory.mktemp("people")


def exported(stage: GraphFaceStage) -> tuple[ExportedModel, GraphFaceNet]:
    """What the stage exports, and the network that the product makes of it."""
    made = stage.export()
    return made, GraphFaceNet.from_weights(ModelWeights(made.model, made.config, made.tensors, "0" * 12))


def read(net: GraphFaceNet, batch: data.GraphBatch) -> GraphCodes:
    with torch.no_grad():
        return net.encoder(batch.photos.images, batch.photos.marks)


def loss(stage: GraphFaceStage, batch) -> torch.Tensor:
    terms = stage.step(batch, 0.0)
    return sum(getattr(stage.config.weights, name) * value for name, value in terms.items())


def test_with_a_linear_part_it_begins_as_the_linear_model() -> None:
    source = data.GraphShapesConfig(seed=71)
    network = replace(SMALL, linear=True)
    stage = GraphFaceStageConfig(steps=1, batch=3, network=network, source=source, basis_people=40).build(CPU)
    batch = source.build().batch(range(4), CPU)  # some of those of whom the basis is made
    net = stage.modules["net"]
    with torch.no_grad():
        identity, expression = stage._codes(batch)
        found = net.shape(identity, expression)
    linear = data.linear_faces(network.identity, network.expression, 40)
    nearest = linear.nearest(batch.neutral[0, : len(net.mean)].numpy(), np.ones(len(net.mean)), 0.0, neutral=True)
    assert np.abs(net.neutral(identity)[0].detach().numpy() - nearest).max() < 1e-4
    error, usual = ((one - batch.vertices).norm(dim=-1).mean() for one in (found, net.mean.expand_as(found)))
    assert error < 0.6 * usual


def test_shapes_alone_without_anything_that_reads_them_are_refused() -> None:
    source = data.GraphShapesConfig(seed=2)
    stage = GraphFaceStageConfig(steps=1, batch=1, network=replace(SMALL, linear=True), source=source).build(CPU)
    with pytest.raises(ValueError, match="basis_people"):
        stage.step(source.build().batch(range(1), CPU), 0.0)


@pytest.mark.usefixtures("one_thread")
def test_photos_have_all_terms_and_the_export_loads(people: Path) -> None:
    torch.manual_seed(0)
    source = data.GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    stage = GraphFaceStageConfig(steps=1, batch=2, network=SMALL, source=source, people=2, reference_people=2).build(
        CPU
    )
    batch = source.build().batch(range(2), CPU)
    terms = stage.step(batch, 0.0)
    absent = {"plain_smooth", "adversary", "codes"}  # without a linear part no codes are known
    assert {name for name, value in terms.items() if not value.abs() > 0} <= absent
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    stage.modules.eval()
    with torch.no_grad():
        figures = stage.metrics([batch])
    assert set(figures) == {"neutral", "moved", "person"}
    made, again = exported(stage)
    own, codes = (read(net, batch) for net in (stage.modules["net"], again))
    assert torch.allclose(codes.identity, own.identity, atol=1e-4)
    assert not any(name.startswith("encoder.trunk") and "convolution" in name for name in made.tensors)


@pytest.mark.usefixtures("one_thread")
def test_the_critic_learns_to_tell_and_moves_nothing_else() -> None:
    torch.manual_seed(0)
    source = data.GraphShapesConfig(seed=2)
    batch = source.build().batch(range(2), CPU)
    network = replace(SMALL, linear=True)
    config = GraphFaceStageConfig(steps=1, batch=2, network=network, source=source, basis_people=40, **ADVERSARIAL)
    stage = config.build(CPU)
    own, critic = stage.turns()
    assert float(own.step(batch, 0.0)["adversary"].detach().abs()) > 0
    moved = {id(p) for group in critic.groups for p in group.parameters}
    assert moved == {id(p) for p in stage.modules["critic"].parameters()}
    optimizer = torch.optim.Adam(stage.modules["critic"].parameters(), 1e-3)
    first = None
    for _ in range(15):
        stage.modules.zero_grad()
        value = critic.step(batch, 0.0)["divergence"]
        value.backward()
        first = value.item() if first is None else first
        optimizer.step()
    assert value.item() < first
    assert all(p.grad is None or not p.grad.any() for p in stage.modules["net"].parameters())


@pytest.mark.usefixtures("one_thread")
def test_shapes_of_people_without_labels_are_not_looked_at(people: Path) -> None:
    torch.manual_seed(0)
    source = data.GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    shape = {"network": replace(SMALL, landmarks=0), "source": source, "people": 2}
    config = GraphFaceStageConfig(steps=1, batch=2, **shape, labelled=0.5, mirror=False, **ADVERSARIAL)
    stage = config.build(CPU)
    batch = source.build().batch(range(2), CPU)
    told = data.labelled_people(batch.person, 0.5)
    assert told.tolist() == [False, False, True, True]
    first, photos, other = stage.step(batch, 0.0), batch.photos, 0.01 * (~told)[:, None, None]
    seen, colours = photos.seen & told[:, None], photos.albedo + other
    wrong = replace(
        batch,
        neutral=batch.neutral + other,
        weights=batch.weights * told[:, None],
        vertices=batch.vertices + other,
        photos=replace(photos, places=photos.places + other, seen=seen, albedo=colours, light=photos.light + other),
    )
    second = stage.step(wrong, 0.0)  # pixels, masks, names and found landmarks are what is known of everybody
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    divergence = []
    for own in (batch, wrong):
        torch.manual_seed(1)
        divergence.append(stage.turns()[1].step(own, 0.0)["divergence"])
    assert torch.equal(*divergence), "the critic knows their true shapes neither"
    third = stage.step(replace(batch, vertices=batch.vertices + 0.01), 0.0)
    assert third["shape"] > first["shape"] + 1.0


@pytest.mark.usefixtures("one_thread")
def test_what_the_predicted_pose_hides_is_not_compared_and_colours_pull_the_pose(people: Path) -> None:
    source = data.GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    only = GraphFaceWeights(**dict.fromkeys(GraphFaceWeights.__dataclass_fields__, 0.0) | {"photometric": 1.0})
    network = replace(SMALL, landmarks=0)
    stage = GraphFaceStageConfig(steps=1, batch=2, network=network, source=source, weights=only).build(CPU)
    shape, skin = stage.modules["net"].mean[None], torch.ones(1, 32, 32, dtype=torch.bool)
    ahead = losses.vertex_normals(shape, stage.triangles)[0, :, 2]
    for yaw, side in ((0.0, None), (1.2, 0), (-1.2, 0)):
        pose = losses.graph_face.WeakPerspective(torch.tensor([[0, yaw, 0]]), torch.tensor([3.0]), torch.zeros(1, 2))
        seen = stage._visible(shape, pose, skin)[0]
        inside = ((pose.project(shape) > 0) & (pose.project(shape) < 1)).all(-1)[0]
        if side is None:
            assert seen[stage.face & inside & (ahead > 0.5)].float().mean() > 0.9
            assert seen[inside & (ahead < -0.5)].float().mean() < 0.1
        else:
            sides = [seen[stage.face & inside & (sign * shape[0, :, 0] > 0.04)].float().mean() for sign in (-1, 1)]
            assert min(sides) < 0.3 < 0.6 < max(sides)
    assert not stage._visible(shape, pose, ~skin).any()
    loss(stage, source.build().batch(range(2), CPU)).backward()
    assert stage.modules["net"].encoder.pose.weight.grad.abs().max() > 0


@pytest.mark.usefixtures("one_thread")
def test_a_smaller_picture_shows_the_same_face_at_its_new_places(people: Path) -> None:
    source = data.GraphPeopleConfig(size=32, people=1, photos=2, folder=str(people))
    batch = source.build().batch(range(1), CPU)
    factors = torch.tensor([0.5, 1.0])
    made = data.smaller_batch(batch, factors).photos
    middle = torch.full((2,), 0.5)
    assert torch.allclose(made.places[0] - middle, 0.5 * (batch.photos.places[0] - middle))
    assert torch.allclose(made.images[1], batch.photos.images[1], atol=1e-5)
    assert torch.allclose(made.marks[0, :, 2], 0.5 * batch.photos.marks[0, :, 2])
    inner = made.images[0, :, 8:24, 8:24]  # half as large: each pixel the mean of the four that it was
    means = torch.nn.functional.avg_pool2d(batch.photos.images[0], 2)
    assert torch.allclose(inner, means, atol=1e-5)
    with pytest.raises(ValueError, match="zoom"):
        GraphFaceStageConfig(steps=1, batch=1, source=source, zoom=(0.8, 1.2))


@pytest.mark.usefixtures("one_thread")
def test_photos_beside_an_adversary_move_what_learns_and_no_frozen_weight(people: Path) -> None:
    """The trunk's frozen weights have no gradient; with two turns the gradient of each of a turn's weights is asked."""
    source = data.GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    shape = {"network": SMALL, "source": source, "people": 2, "reference_people": 2}
    config = GraphFaceStageConfig(steps=2, batch=2, **shape, **ADVERSARIAL)
    trainee = Trainee(config, 0, 1, torch.device("cpu"), bf16=False)
    before = {name: value.clone() for name, value in trainee.modules.named_parameters()}
    made = source.build()
    reports = [trainee.train_step(made, step, step / 2) for step in range(2)]
    assert all(report.finite for report in reports)
    moved = {name for name, value in trainee.modules.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith("critic") for name in moved) and any("shape_decoder" in name for name in moved)
    frozen = {name for name, value in trainee.modules.named_parameters() if not value.requires_grad}
    assert frozen and not frozen & moved


def test_classification_of_nobody_in_particular_is_the_logarithm_of_how_many() -> None:
    assert float(losses.classification(torch.zeros(2, 5), torch.tensor([0, 3]))) == pytest.approx(math.log(5))
    sure = torch.tensor([[0.0, math.log(3.0)]])
    assert float(losses.classification(sure, torch.tensor([1]))) == pytest.approx(math.log(4 / 3))


def test_centre_distance_is_half_the_square() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    codes = torch.tensor([[3.0, 4.0], [1.0, 3.0]])
    found = losses.centre_distance(codes, centres, torch.tensor([0, 1]))
    assert float(found) == pytest.approx(0.5 * (25 + 4) / 2)


def test_photometric_compares_colours_and_gradients_where_the_mask_is() -> None:
    shown = torch.zeros(1, 3, 3)
    found = torch.tensor([[[0.1, 0.0, 0.0], [0.3, 0.0, 0.0], [0.9, 0.9, 0.9]]])
    mask = torch.tensor([[1.0, 1.0, 0.0]])  # the third is behind hair
    edges = torch.tensor([[0, 1], [1, 2]])
    assert float(losses.photometric(found, shown, mask, edges)) == pytest.approx((0.01 + 0.09) / 2 + 0.2, abs=1e-6)
    assert float(losses.photometric(found, found, mask, edges)) == 0.0


def test_landmarks_count_in_per_cent_and_so_do_ways_between_them() -> None:
    truth = torch.zeros(1, 2, 2)
    found = torch.tensor([[[0.01, 0.0], [0.0, 0.02]]])
    # distances 1 and 2 per cent; ways (1, -2) and back, and none to themselves
    assert float(losses.landmark_distance(found, truth)) == pytest.approx((1 + 4) / 2 + (5 + 5) / 4)
    moved = truth + 0.03  # all together: the ways are right
    assert float(losses.landmark_distance(moved, truth)) == pytest.approx(18.0)


def test_shape_is_in_millimetres_by_weight() -> None:
    truth = torch.zeros(1, 2, 3)
    found = torch.tensor([[[0.001, -0.002, 0.0], [0.004, 0.0, 0.0]]])
    assert float(losses.shape_difference(found, truth, torch.tensor([1.0, 1.0]))) == pytest.approx((3 + 4) / 2)
    assert float(losses.shape_difference(found, truth, torch.tensor([1.0, 0.0]))) == pytest.approx(3.0)


def test_smoothness_is_against_the_template_and_the_plain_one_is_not() -> None:
    def laplacian(shapes: torch.Tensor) -> torch.Tensor:
        return shapes - shapes.mean(1, keepdim=True)

    template = torch.tensor([[0.0, 0.0, 0.0], [0.002, 0.0, 0.0]])
    moved = template[None] + 0.01  # no smoother or rougher than the template
    assert float(losses.smoothness(moved, template, laplacian)) == pytest.approx(0.0, abs=1e-4)
    assert float(losses.plain_smoothness(moved, laplacian)) == pytest.approx(1.0, abs=1e-4)
    wider = 2 * template[None]
    assert float(losses.smoothness(wider, template, laplacian)) == pytest.approx(1.0, abs=1e-4)


def test_asymmetry_is_zero_for_faces_that_are_alike_on_both_sides() -> None:
    mirror = torch.tensor([1, 0, 2])
    alike = torch.tensor([[[0.2, 0.2, 0.2], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]])
    assert float(losses.asymmetry(alike, mirror)) == 0.0
    spotted = alike.clone()
    spotted[0, 0] += 0.3
    assert float(losses.asymmetry(spotted, mirror)) == pytest.approx((0.3 + 0.3) / 3)


def test_the_critics_loss_by_hand() -> None:
    """A linear critic has one gradient everywhere, so that the penalty is known."""
    weight = torch.tensor([[0.6, 0.0, 0.8]])

    def critic(shapes: torch.Tensor) -> torch.Tensor:
        return (shapes * weight).sum((1, 2))

    real, fake = torch.ones(2, 1, 3), torch.zeros(2, 1, 3)
    assert float(losses.critic_divergence(critic, real, fake)) == pytest.approx(0.0 - 1.4 + 2.0 * 1.0, abs=1e-5)
    assert float(losses.critic_divergence(critic, real, fake, factor=1.0, power=2.0)) == pytest.approx(-0.4, abs=1e-5)


@pytest.fixture
def few_people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who the linear model is made of: forty; photos are kept in a fresh folder."""
    monkeypatch.setattr(graph, "linear_faces", lambda *codes: data.linear_faces(*codes, 40))
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))


def test_components_explain_those_of_whom_they_are_made() -> None:
    count = load_template().head.vertex_stop
    batch = data.GraphShapesConfig(seed=LINEAR_SEED).build().batch(range(4), torch.device("cpu"))
    faces = batch.neutral[::2, :count].numpy()
    few, many = (data.linear_faces(number, 4, 40) for number in (2, 30))
    weight = np.ones(count)

    def error(model) -> float:
        return float(np.mean([np.abs(model.nearest(one, weight, 0.0, neutral=True) - one).mean() for one in faces]))

    assert error(many) < 0.6 * error(few)
    modes = many.identity.reshape(len(many.identity), -1)
    lengths = np.linalg.norm(modes, axis=1)
    assert (np.diff(lengths) <= 1e-6).all()  # strongest first
    overlap = modes @ modes.T / np.outer(lengths, lengths)
    assert np.abs(overlap - np.eye(len(modes))).max() < 1e-3


@pytest.mark.usefixtures("few_people")
def test_a_network_that_is_the_linear_model_is_as_good_as_it() -> None:
    torch.manual_seed(0)
    net = GraphFaceNet(SMALL_of_evaluate_graph).eval()
    linear = data.linear_faces(12, 8, 40)
    modes = np.concatenate([linear.identity, linear.expression]).reshape(20, -1) / 0.005
    with torch.no_grad():
        net.basis.copy_(torch.from_numpy(modes))
        net.shape_decoder.last.bias.zero_()
    figures = graph.decoder_figures(net, 3)
    assert figures["ratio.neutral"] == pytest.approx(1.0, abs=0.01)
    assert figures["ratio.moved"] == pytest.approx(1.0, abs=0.01)
    assert figures["linear.neutral"] < figures["mean.neutral"]


@pytest.mark.usefixtures("few_people")
def test_an_encoder_that_has_learned_nothing_is_no_better_than_the_mean_face() -> None:
    torch.manual_seed(0)
    figures = graph.encoder_figures(GraphFaceNet(SMALL_of_evaluate_graph).eval(), 2)
    assert figures["photo.neutral.ratio"] == pytest.approx(1.0, abs=0.02)
    assert figures["albedo.ratio"] == pytest.approx(1.0, abs=0.2)
    assert 0 <= figures["other_person"] <= 1
