"""Checkpoint files: whole or not there, readable by others, matched by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from backend.models.checkpoints import ModelWeights, save_model
from trainer.engine import checkpoint as engine_checkpoint
from trainer.engine.recipe import RecipeError


def some_checkpoint(stage: int = 0, step: int = 5) -> engine_checkpoint.Checkpoint:
    torch.manual_seed(step)
    channels_last = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    model = {
        "a.weight": channels_last,
        "a.count": torch.tensor(7),
        "b": torch.randn(3).bfloat16(),
        "none": torch.empty(0, 2),
    }
    average = {"a.weight": channels_last + 1}
    optimizer = {"a.weight/exp_avg": channels_last * 2, "a.weight/step": torch.tensor(5.0)}
    return engine_checkpoint.Checkpoint(
        engine_checkpoint.RunState(stage=stage, step=step, best=0.25), model, average, optimizer
    )


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    checkpoint = some_checkpoint()
    path = engine_checkpoint.CheckpointFolder(tmp_path).save(checkpoint)
    back = engine_checkpoint.read_checkpoint(path)
    assert back.state == checkpoint.state
    for part in ("model", "average", "optimizer"):
        for name, value in getattr(checkpoint, part).items():
            read = getattr(back, part)[name]
            assert read.dtype == value.dtype and torch.equal(read, value), name
    assert torch.equal(back.weights["a.weight"], checkpoint.average["a.weight"])
    assert torch.equal(back.weights["b"], checkpoint.model["b"])


def test_the_safetensors_package_reads_the_same(tmp_path: Path) -> None:
    checkpoint = some_checkpoint()
    others = load_file(engine_checkpoint.CheckpointFolder(tmp_path).save(checkpoint))
    assert torch.equal(others["model/a.weight"], checkpoint.model["a.weight"])
    assert torch.equal(others["model/b"], checkpoint.model["b"])
    assert others["model/a.count"].shape == ()


def test_only_the_latest_are_kept_in_order_of_stage_and_step(tmp_path: Path) -> None:
    folder = engine_checkpoint.CheckpointFolder(tmp_path, keep=2)
    for stage, step in ((0, 900), (0, 1000), (1, 5), (1, 40)):
        folder.save(some_checkpoint(stage, step))
    folder.save_best(some_checkpoint(0, 900))
    assert [path.name for path in folder.files()] == [
        "stage01_step000000005.safetensors",
        "stage01_step000000040.safetensors",
    ]
    assert engine_checkpoint.read_checkpoint(folder.best_path(0)).optimizer == {}


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_a_damaged_file_is_passed_over(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture) -> None:
    folder = engine_checkpoint.CheckpointFolder(tmp_path)
    folder.save(some_checkpoint(step=5))
    last = folder.save(some_checkpoint(step=6))
    content = last.read_bytes()
    last.write_bytes({"cut": content[:-1], "empty": b"", "garbage": b"\xff" * 100}[damage])
    latest = folder.latest()
    assert latest is not None and latest.state.step == 5
    assert "stage00_step000000006.safetensors cannot be used" in capsys.readouterr().out


def test_only_who_goes_on_removes_what_a_kill_left(tmp_path: Path) -> None:
    folder = engine_checkpoint.CheckpointFolder(tmp_path)
    folder.save(some_checkpoint())
    half = tmp_path / ".stage00_step000000007.safetensors.12.part"
    half.write_bytes(b"half")
    assert folder.latest() is not None
    assert half.exists(), "an export beside a run that trains must not take its file away"
    folder.remove_leftovers()
    assert not half.exists()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = engine_checkpoint.CheckpointFolder(tmp_path)
    path = folder.save(some_checkpoint())
    before = path.read_bytes()

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("backend.system.files.os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        folder.save(some_checkpoint())
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_matching_copies_names_and_shapes_that_agree() -> None:
    modules = nn.ModuleDict({"net": nn.Linear(3, 2), "other": nn.Linear(2, 2)})
    weights = {"net.weight": torch.ones(2, 3), "net.bias": torch.ones(5), "older.weight": torch.ones(1)}
    taken, fresh = engine_checkpoint.copy_matching(modules, weights)
    assert taken == ["net.weight"]
    assert set(fresh) == {"net.bias", "other.weight", "other.bias"}
    assert torch.equal(modules["net"].weight, torch.ones(2, 3))


def test_an_exported_model_can_be_a_start(tmp_path: Path) -> None:
    weights = {"weight": torch.full((2, 3), 0.5, dtype=torch.float16), "bias": torch.zeros(2, dtype=torch.float16)}
    path = save_model(ModelWeights("line", {}, weights, "v"), tmp_path)
    modules = nn.ModuleDict({"net": nn.Linear(3, 2)})
    for start in (tmp_path, path):
        taken, _ = engine_checkpoint.copy_matching(modules, engine_checkpoint.read_weights(start))
        assert set(taken) == {"net.weight", "net.bias"}
    assert torch.equal(modules["net"].weight, torch.full((2, 3), 0.5))


def test_what_is_no_weights_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("hello, this is not a tensor file")
    for path in (tmp_path / "text.safetensors", tmp_path, tmp_path / "missing"):
        with pytest.raises(RecipeError, match="No weights can be read"):
            engine_checkpoint.read_weights(path)
