"""Figures of the graph face model: the linear model beside it, and a network that knows nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.models.graph_face import GraphFaceConfig, GraphFaceNet
from trainer.methods.graph_face import evaluate as graph
from trainer.methods.graph_face.data import SEED as LINEAR_SEED
from trainer.methods.graph_face.data import GraphShapesConfig, linear_faces

SMALL = GraphFaceConfig(
    size=32, identity=12, expression=8, order=2, widths=(8, 8, 6, 4), albedo_widths=(4, 4, 4, 4), feature=8, landmarks=0
)


@pytest.fixture
def few_people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who the linear model is made of: forty; photos are kept in a fresh folder."""
    monkeypatch.setattr(graph, "linear_faces", lambda *codes: linear_faces(*codes, 40))
    monkeypatch.setenv("LIKENESS_CACHE", str(tmp_path))


def test_components_explain_those_of_whom_they_are_made() -> None:
    count = load_template().head.vertex_stop
    batch = GraphShapesConfig(seed=LINEAR_SEED).build().batch(range(4), torch.device("cpu"))
    faces = batch.neutral[::2, :count].numpy()
    few, many = (linear_faces(number, 4, 40) for number in (2, 30))
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
    net = GraphFaceNet(SMALL).eval()
    linear = linear_faces(12, 8, 40)
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
    figures = graph.encoder_figures(GraphFaceNet(SMALL).eval(), 2)
    assert figures["photo.neutral.ratio"] == pytest.approx(1.0, abs=0.02)
    assert figures["albedo.ratio"] == pytest.approx(1.0, abs=0.2)
    assert 0 <= figures["identity"] <= 1
    assert figures["seconds.photo"] > 0


def test_no_model_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise LikenessError("missing_part", "The graph_face model is not trained.", "")

    monkeypatch.setattr(graph.nets.GraphModel, "load", missing)
    found = graph.run(argparse.Namespace(model=None, heads=2, people=2, sheet=None), Console(quiet=True))
    assert found == {"graph": "not trained"}
