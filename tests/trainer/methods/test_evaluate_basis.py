"""Figures of the learned face model: spans, separation, and what is said where nothing is trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.geometry.template import load_template
from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet
from trainer.__main__ import main
from trainer.methods.learned_basis import evaluate as basis
from trainer.methods.learned_basis import evaluate as evaluate_heads
from trainer.methods.learned_basis.data import FacePeople, FacePeopleConfig
from trainer.methods.learned_basis.start import begin_from_people

SMALL = LearnedBasisConfig(
    size=24, level=0, nodes=60, identity=12, reflectance=2, expression=6, width=8, stages=2, feature=16, focal=0.0
)


def test_what_lies_in_the_span_has_no_distance() -> None:
    g = np.random.default_rng(0)
    modes = g.normal(size=(5, 40, 3)) * 1e-3
    importance = np.r_[np.ones(30), np.full(10, 0.02)]
    inside = np.tensordot(g.normal(size=(3, 5)), modes, 1)
    assert evaluate_heads.closest_mm(modes, inside, importance).max() < 0.02
    assert evaluate_heads.closest_mm(modes[:2], inside, importance).min() > 0.3


def test_more_coefficients_of_the_prior_come_nearer_to_people_it_does_not_know() -> None:
    heads = evaluate_heads.people_heads(6)
    template = load_template()
    count = template.head.vertex_stop
    importance = 0.02 + template.regions["face"][:count].astype(np.float64)
    few, many = (
        evaluate_heads.closest_mm(template.identity_modes[:k, :count].astype(np.float64), heads, importance).mean()
        for k in (8, 100)
    )
    size = np.median(np.linalg.norm(heads, axis=-1)[:, importance > 0.5]) * 1000
    assert 0.5 < many < 0.95 * few < 0.9 * size, "bumps lie outside of any number of modes"


def test_separation_tells_who_from_what() -> None:
    torch.manual_seed(0)
    network = LearnedBasisNet(SMALL).eval()
    begin_from_people(network.bases, 20)
    config = FacePeopleConfig(size=24, seed=8, photos=2, film=False)
    batch = FacePeople(config, basis.SameFaces(config)).batch(range(3), torch.device("cpu"))
    moved = (batch.truth.vertices - batch.truth.neutral).reshape(3, 2, -1)
    same, other = (moved[0] - moved[1]).norm(dim=1).mean(), (moved[:, 0] - moved[:, 1]).norm(dim=1).mean()
    assert same < 0.3 * other, "people make the same faces"
    found = basis.separation(network, batch)
    assert set(found) == set(basis._SEPARATION) and all(value > 0 for value in found.values())


def test_without_a_model_the_prior_is_still_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "figures.json"
    command = ["evaluate", "basis", "--model", str(tmp_path), "--people", "3", "--no-scans", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["trainer", *command])
    assert main(command) == 0
    figures = json.loads(out.read_text())
    assert figures["people.median_mm.prior"] > 0 and figures["people.median_mm.learned"] == "not trained"
    assert figures["lip_iou.upper"] == figures["separation.identity_mm.same"] == "not trained"
    assert figures["verification.eer"] == "not trained"
