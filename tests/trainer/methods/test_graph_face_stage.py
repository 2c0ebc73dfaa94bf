"""The stage of the graph face model: it learns shapes by heart, exports what the backend loads, and has a critic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.models.checkpoints import ModelWeights
from backend.models.graph_face import GraphCodes, GraphFaceConfig, GraphFaceNet
from trainer.engine.contracts import ExportedModel, OptimizerConfig
from trainer.engine.distributed import world
from trainer.engine.trainee import Trainee
from trainer.methods.graph_face import data as graph_data
from trainer.methods.graph_face.data import (
    UNKNOWN,
    GraphBatch,
    GraphPeopleConfig,
    GraphShapesConfig,
    known_part,
    labelled_people,
    linear_faces,
    smaller_batch,
)
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


@pytest.fixture(autouse=True)
def _few_landmark_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_data, "SHAPE_PEOPLE", 100)  # all 3,000 take seconds, for each stage


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where drawn people are kept: each is drawn once for all tests."""
    return tmp_path_factory.mktemp("people")


def exported(stage: GraphFaceStage) -> tuple[ExportedModel, GraphFaceNet]:
    """What the stage exports, and the network that the product makes of it."""
    made = stage.export()
    return made, GraphFaceNet.from_weights(ModelWeights(made.model, made.config, made.tensors, "0" * 12))


def read(net: GraphFaceNet, batch: GraphBatch) -> GraphCodes:
    with torch.no_grad():
        return net.encoder(batch.photos.images, batch.photos.marks)


def loss(stage: GraphFaceStage, batch) -> torch.Tensor:
    terms = stage.step(batch, 0.0)
    return sum(getattr(stage.config.weights, name) * value for name, value in terms.items())


@pytest.mark.usefixtures("one_thread")
def test_it_learns_a_few_shapes_and_expression_zero_is_neutral() -> None:
    torch.manual_seed(0)
    source = GraphShapesConfig(seed=2)
    batch = source.build().batch(range(3), CPU)
    stage = GraphFaceStageConfig(steps=1, batch=3, network=SMALL, source=source).build(CPU)
    optimizer = torch.optim.Adam(stage.modules.parameters(), 3e-3)
    before = stage.metrics([batch])
    for _ in range(40):
        optimizer.zero_grad()
        loss(stage, batch).backward()
        optimizer.step()
    with torch.no_grad():
        after = stage.metrics([batch])
    assert after["neutral"] < 0.75 * before["neutral"]
    assert after["moved"] < 0.9
    still = stage._codes(batch)[1] * 0
    net = stage.modules["net"]
    identity = stage._codes(batch)[0]
    assert torch.equal(net.shape(identity, still), net.neutral(identity))


def test_with_a_linear_part_it_begins_as_the_linear_model() -> None:
    source = GraphShapesConfig(seed=71)
    network = replace(SMALL, linear=True)
    stage = GraphFaceStageConfig(steps=1, batch=3, network=network, source=source, basis_people=40).build(CPU)
    batch = source.build().batch(range(4), CPU)  # some of those of whom the basis is made
    net = stage.modules["net"]
    with torch.no_grad():
        identity, expression = stage._codes(batch)
        found = net.shape(identity, expression)
    linear = linear_faces(network.identity, network.expression, 40)
    nearest = linear.nearest(batch.neutral[0, : len(net.mean)].numpy(), np.ones(len(net.mean)), 0.0, neutral=True)
    assert np.abs(net.neutral(identity)[0].detach().numpy() - nearest).max() < 1e-4
    error, usual = ((one - batch.vertices).norm(dim=-1).mean() for one in (found, net.mean.expand_as(found)))
    assert error < 0.6 * usual


def test_shapes_alone_without_anything_that_reads_them_are_refused() -> None:
    source = GraphShapesConfig(seed=2)
    stage = GraphFaceStageConfig(steps=1, batch=1, network=replace(SMALL, linear=True), source=source).build(CPU)
    with pytest.raises(ValueError, match="basis_people"):
        stage.step(source.build().batch(range(1), CPU), 0.0)


@pytest.mark.usefixtures("one_thread")
def test_photos_have_all_terms_and_the_export_loads(people: Path) -> None:
    torch.manual_seed(0)
    source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
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
    assert set(figures) == {"neutral", "moved", "person", "albedo", "identity"}
    made, again = exported(stage)
    own, codes = (read(net, batch) for net in (stage.modules["net"], again))
    assert torch.allclose(codes.identity, own.identity, atol=1e-4)
    assert not any(name.startswith("encoder.trunk") and "convolution" in name for name in made.tensors)


@pytest.mark.usefixtures("one_thread")
def test_the_critic_learns_to_tell_and_moves_nothing_else() -> None:
    torch.manual_seed(0)
    source = GraphShapesConfig(seed=2)
    batch = source.build().batch(range(2), CPU)
    stage = GraphFaceStageConfig(
        steps=1,
        batch=2,
        network=SMALL,
        source=source,
        weights=GraphFaceWeights(adversary=0.1),
        adversary=OptimizerConfig(learning_rate=1e-3),
    ).build(CPU)
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
    source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    config = GraphFaceStageConfig(
        steps=1, batch=2, network=replace(SMALL, landmarks=0), source=source, people=2, labelled=0.5, mirror=False
    )
    stage = config.build(CPU)
    batch = source.build().batch(range(2), CPU)
    told = labelled_people(batch.person, 0.5)
    assert told.tolist() == [False, False, True, True]
    first = stage.step(batch, 0.0)
    wrong = batch.vertices + 0.01 * (~told)[:, None, None]
    second = stage.step(replace(batch, vertices=wrong, weights=batch.weights * told[:, None]), 0.0)
    assert torch.equal(first["shape"], second["shape"])
    assert torch.equal(first["pair"], second["pair"])
    third = stage.step(replace(batch, vertices=batch.vertices + 0.01), 0.0)
    assert third["shape"] > first["shape"] + 1.0


@pytest.mark.usefixtures("one_thread")
def test_without_the_mask_the_picture_is_compared_where_hair_hides_the_face(people: Path) -> None:
    torch.manual_seed(0)
    source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    batch = source.build().batch(range(2), CPU)
    hidden = replace(batch, photos=replace(batch.photos, seen=torch.zeros_like(batch.photos.seen)))
    found = {}
    for mask in (True, False):
        torch.manual_seed(0)
        config = GraphFaceStageConfig(
            steps=1, batch=2, network=replace(SMALL, landmarks=0), source=source, mirror=False, mask=mask
        )
        found[mask] = float(config.build(CPU).step(hidden, 0.0)["photometric"].detach())
    assert found[True] == 0.0
    assert found[False] > 0.0


@pytest.mark.usefixtures("one_thread")
def test_a_smaller_picture_shows_the_same_face_at_its_new_places(people: Path) -> None:
    source = GraphPeopleConfig(size=32, people=1, photos=2, folder=str(people))
    batch = source.build().batch(range(1), CPU)
    factors = torch.tensor([0.5, 1.0])
    made = smaller_batch(batch, factors).photos
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
def test_of_a_portrait_only_what_the_photo_says_counts(people: Path) -> None:
    torch.manual_seed(0)
    source = GraphPeopleConfig(size=32, people=3, photos=1, folder=str(people))
    stage = GraphFaceStageConfig(
        steps=1, batch=3, network=SMALL, source=source, people=3, reference_people=2, mirror=False
    ).build(CPU)
    batch = source.build().batch(range(3), CPU)
    stage.step(batch, 0.0)  # what is known of landmarks is asked for once
    stage.modules.eval()
    person = batch.person.clone()
    person[2] = UNKNOWN
    portrait = replace(batch, person=person)
    wrong = replace(
        portrait,
        neutral=torch.cat([batch.neutral[:2], batch.neutral[2:] + 0.1]),
        vertices=torch.cat([batch.vertices[:2], batch.vertices[2:] + 0.1]),
        photos=replace(batch.photos, albedo=torch.cat([batch.photos.albedo[:2], 1 - batch.photos.albedo[2:]])),
    )
    terms, others = stage.step(portrait, 0.0), stage.step(wrong, 0.0)
    assert all(torch.equal(terms[name], others[name]) for name in terms), "a portrait's shape and colours are no labels"
    darker = replace(
        portrait,
        photos=replace(batch.photos, images=torch.cat([batch.photos.images[:2], batch.photos.images[2:] * 0.3])),
    )
    changed = stage.step(darker, 0.0)
    assert float((changed["photometric"] - terms["photometric"]).detach().abs()) > 1e-3
    alone = stage.step(known_part(portrait), 0.0)
    for name in ("shape", "albedo", "light", "place", "classification", "centre", "together"):
        assert torch.allclose(alone[name], terms[name], rtol=1e-3), name


@pytest.mark.usefixtures("one_thread")
def test_photos_beside_an_adversary_move_what_learns_and_no_frozen_weight(people: Path) -> None:
    """The trunk's frozen weights have no gradient; with two turns the gradient of each of a turn's weights is asked."""
    source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(people))
    config = GraphFaceStageConfig(
        steps=2,
        batch=2,
        network=SMALL,
        source=source,
        people=2,
        reference_people=2,
        weights=GraphFaceWeights(adversary=0.1),
        adversary=OptimizerConfig(learning_rate=1e-3),
    )
    with world("cpu") as place:
        trainee = Trainee(config, 0, 1, place, bf16=False, channels_last=False)
        before = {name: value.clone() for name, value in trainee.modules.named_parameters()}
        made = source.build()
        reports = [trainee.train_step(made, step, step / 2) for step in range(2)]
    assert all(report.finite for report in reports)
    moved = {name for name, value in trainee.modules.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith("critic") for name in moved) and any("shape_decoder" in name for name in moved)
    frozen = {name for name, value in trainee.modules.named_parameters() if not value.requires_grad}
    assert frozen and not frozen & moved
