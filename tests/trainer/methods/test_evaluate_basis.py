"""Figures of the learned face model: separation, and what is said where nothing is trained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from backend.models.learned_basis.network import LearnedBasisConfig, LearnedBasisNet
from trainer.__main__ import main
from trainer.methods.learned_basis import evaluate as basis
from trainer.methods.learned_basis.data import FacePeople, FacePeopleConfig
from trainer.methods.learned_basis.start import begin_from_people

SMALL = LearnedBasisConfig(
    size=24, level=0, nodes=60, identity=12, reflectance=2, expression=6, width=8, stages=2, feature=16, focal=0.0
)


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


def test_without_a_model_it_says_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "figures.json"
    command = ["evaluate", "basis", "--model", str(tmp_path), "--people", "3", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", ["trainer", *command])
    assert main(command) == 0
    figures = json.loads(out.read_text())
    assert figures["lip_iou.upper"] == figures["separation.identity_mm.same"] == "not trained"
    assert figures["verification.eer"] == "not trained"
