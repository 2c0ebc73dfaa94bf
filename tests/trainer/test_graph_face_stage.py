"""The stage of the graph face model: it learns shapes by heart, exports what the backend loads, and has a critic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.models.checkpoints import ModelWeights
from backend.models.graph_face.network import GraphFaceConfig, GraphFaceNet
from trainer.contracts import OptimizerConfig
from trainer.data.graph import GraphPeopleConfig, GraphShapesConfig
from trainer.data.graph.linear import linear_faces
from trainer.stages.graph_face import GraphFaceStage, GraphFaceStageConfig, GraphFaceWeights

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
    source = GraphShapesConfig(seed=2)
    network = replace(SMALL, linear=True)
    stage = GraphFaceStageConfig(steps=1, batch=3, network=network, source=source, basis_people=40).build(CPU)
    batch = GraphShapesConfig(seed=71).build().batch(range(4), CPU)  # some of those people
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
def test_photos_have_all_terms_and_the_export_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(tmp_path))
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
    made = stage.export()
    again = GraphFaceNet.from_weights(ModelWeights(made.model, made.config, made.tensors, "0" * 12))
    with torch.no_grad():
        own = stage.modules["net"].encoder(batch.photos.images, batch.photos.marks)
        codes = again.encoder(batch.photos.images, batch.photos.marks)
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
