"""Weights trained on research-only data carry that from the set's folder to the card, the file and the product."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from backend.models.checkpoints import LoadedNetwork, ModelWeights, fingerprint, load_model, save_model
from trainer.engine.logs import inherited_limits, log_session, read_sessions, research_sets

CPU = torch.device("cpu")
SET = "CelebA (non-commercial research only)"


def prepared(folder: Path, limited: bool) -> Path:
    folder.mkdir(parents=True)
    card = {"title": "CelebA", "licence": "non-commercial research only", "research_only": limited}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def test_a_recipe_names_the_sets_that_limit_it_at_any_depth(tmp_path: Path) -> None:
    limited, free = prepared(tmp_path / "a", True), prepared(tmp_path / "b", False)
    recipe = {"stages": [{"source": {"sources": [{"portraits": {"folder": str(limited)}}, {"folder": str(free)}]}}]}
    assert research_sets(recipe) == {SET}
    assert research_sets({"stages": [{"source": {"folder": str(free)}}, {"source": {"folder": ""}}]}) == set()


def test_limits_are_inherited_from_initial_weights(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    tensors = {"weight": torch.ones(2)}
    weights = ModelWeights("toy", {}, tensors, fingerprint(tensors), (SET,))
    shard = save_model(weights, tmp_path / "model")
    assert inherited_limits(tmp_path / "model") == inherited_limits(shard) == {SET}
    log_session(run, CPU, 0, {SET})
    checkpoint = run / "checkpoints" / "1.safetensors"
    checkpoint.write_bytes(save_model(ModelWeights("toy", {}, tensors, ""), tmp_path / "plain").read_bytes())
    assert inherited_limits(checkpoint) == {SET} and read_sessions(run)[0]["research_only"] == [SET]
    assert inherited_limits(tmp_path / "plain") == inherited_limits(None) == set()


def test_the_product_says_so_when_it_loads_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tensors = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    save_model(ModelWeights("lap", {}, tensors, fingerprint(tensors), (SET,)), tmp_path)
    with caplog.at_level(logging.WARNING):
        assert load_model("lap", tmp_path).research_only == (SET,)
    assert f"for research alone: trained on {SET}" in caplog.text

    class Toy(LoadedNetwork):
        model = type("Model", (), {"name": "lap"})

        @classmethod
        def build(cls, weights: ModelWeights) -> torch.nn.Module:
            return torch.nn.Linear(2, 2)

    assert Toy.load(tmp_path).version.endswith(f"(research only: {SET})")
