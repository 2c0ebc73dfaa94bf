"""From a run to a model that the backend loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from loop_parts import line_recipe, line_stage

from backend.models.checkpoints import load_model, read_tensors
from backend.models.parsing.network import FaceParser
from trainer.__main__ import main
from trainer.engine.checkpoint import CheckpointFolder, read_checkpoint, read_weights
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import RecipeError, find_recipe, load_recipe
from trainer.export import export_run

TINY_STEPS = ["stages.0.steps=6", "validate_steps=3", "stages.0.batch=4", "stages.0.validation_samples=4"]


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    train(load_recipe(find_recipe("tiny"), TINY_STEPS), RunOptions(folder, device="cpu"))
    return folder


def test_a_run_becomes_a_model_that_the_backend_loads(tiny_run: Path, tmp_path: Path) -> None:
    done = export_run(tiny_run, tmp_path / "parsing")
    parser = FaceParser.load(done.folder)
    assert parser.version == done.version
    best = CheckpointFolder(tiny_run / "checkpoints").best_path(0)
    assert best.is_file()
    stage = load_recipe(tiny_run / "recipe.toml").stages[0].build(torch.device("cpu"))
    stage.modules.load_state_dict(dict(read_checkpoint(best).weights))
    stage.modules.eval()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = stage.modules["net"](torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255.0).softmax(1)[0]
    np.testing.assert_allclose(parser.probabilities(pixels), expected.numpy(), atol=5e-3)


def test_an_export_with_eight_bits_is_smaller_and_hardly_different(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = export_run(tiny_run, tmp_path / "whole")
    assert main(["export", str(tiny_run), "--out", str(tmp_path / "eight"), "--bits", "8"]) == 0
    stored = read_tensors(next((tmp_path / "eight").glob("*.safetensors"))).tensors
    large = {name for name, tensor in stored.items() if tensor.dtype == torch.int8}
    assert large
    before, after = load_model("parsing", whole.folder), load_model("parsing", tmp_path / "eight")
    assert before.version != after.version and after.version in capsys.readouterr().out
    assert before.tensors.keys() == after.tensors.keys()
    started = read_weights(tmp_path / "eight")
    for name, tensor in before.tensors.items():
        off = (after.tensors[name] - tensor).abs()
        assert off.max() <= (tensor.abs().max() / 200 if name in large else 0)
        assert torch.equal(started[name].float(), after.tensors[name].float()), (
            "a training starts from the same weights"
        )
    card = (tmp_path / "eight" / "README.md").read_text()
    assert after.version in card and "int8 with a step per channel" in card
    assert "float16, " in whole.card.read_text()


def test_the_card_tells_what_the_run_s_files_say(tiny_run: Path, tmp_path: Path) -> None:
    done = export_run(tiny_run, tmp_path, licence="CC0-1.0")
    card = done.card.read_text()
    assert done.version in card and "CC0-1.0" in card
    assert "| parsing | stored | 6 | 24 |" in card
    assert "| iou.mean | " in card and "were not measured" not in card
    assert 'kind = "stored"' in card


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no training run"):
        export_run(tmp_path)
    two = line_recipe(line_stage(name="one"), line_stage(name="two"), checkpoint_steps=3)
    train(two, RunOptions(tmp_path / "run", device="cpu"))
    done = export_run(tmp_path / "run", tmp_path / "model")
    assert "were not measured on held-out data" in done.card.read_text()
    assert load_model("line", done.folder).config == {"inputs": 4}
    for path in (tmp_path / "run" / "checkpoints").glob("stage01*"):
        path.unlink()
    with pytest.raises(RecipeError, match=r"last stage of .* has no checkpoint yet"):
        export_run(tmp_path / "run", tmp_path / "model")
