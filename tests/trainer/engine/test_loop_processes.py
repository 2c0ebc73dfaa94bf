"""Runs in processes of their own: killed ones, several at once, and the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from loop_parts import PointsConfig, line_recipe, line_stage

from trainer.__main__ import main
from trainer.engine.checkpoint import CheckpointFolder
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import recipe_to_toml

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("one_thread")


def environment() -> dict[str, str]:
    paths = os.pathsep.join((str(ROOT), str(Path(__file__).parents[1])))
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer", *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240)


def final_tensors(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = CheckpointFolder(folder / "checkpoints").latest()
    assert checkpoint is not None and checkpoint.state.finished
    parts = (checkpoint.model, checkpoint.average, checkpoint.optimizer)
    return {f"{number}/{name}": value for number, part in enumerate(parts) for name, value in part.items()}


def assert_same_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_killed_by_sigkill_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    fuse = tmp_path / "fuse"
    fuse.touch()
    trap = PointsConfig(trap="kill", trap_at=38, trap_file=str(fuse))
    stages = (line_stage(name="one", steps=5, ema=0.9), line_stage(name="two", steps=16, ema=0.9, source=trap, batch=4))
    recipe = line_recipe(*stages, checkpoint_steps=3)
    file = tmp_path / "line.toml"
    file.write_text(recipe_to_toml(recipe))
    folder = tmp_path / "killed"
    killed = run(str(file), "--out", str(folder), "--device", "cpu")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not fuse.exists()
    latest = CheckpointFolder(folder / "checkpoints").latest()
    assert latest is not None and (latest.state.stage, latest.state.step) == (1, 9)
    assert main([str(file), "--out", str(folder), "--device", "cpu", "--resume"]) == 0
    assert "resumed at step 9" in capsys.readouterr().out
    train(recipe, RunOptions(tmp_path / "whole", device="cpu"))  # the fuse is gone: nothing kills this one
    assert_same_bits(final_tensors(folder), final_tensors(tmp_path / "whole"))


def test_command_line_names_what_is_wrong(capsys: pytest.CaptureFixture) -> None:
    assert main(["no_such_recipe"]) == 2
    assert "There is no recipe 'no_such_recipe'. Known recipes:" in capsys.readouterr().err
    assert main(["tiny", "--set", "stages.parsing.stepz=3"]) == 2
    assert "unknown key 'stages.0.stepz'. Did you mean 'steps'?" in capsys.readouterr().err
    assert main(["tiny", "--device", "cuda:77" if torch.cuda.is_available() else "cuda"]) == 2
    assert "CUDA" in capsys.readouterr().err


def test_portraits_that_are_not_there_are_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    nowhere = f'stages.parsing.source={{kind="portraits", folder="{tmp_path / "none"}"}}'
    assert main(["tiny", "--out", str(tmp_path / "run"), "--set", nowhere]) == 2
    said = capsys.readouterr().err
    assert "Stage 'parsing' has no training data" in said and "--out PREPARED" in said
    assert "Traceback" not in said


def test_the_list_names_recipes_with_what_they_train(capsys: pytest.CaptureFixture) -> None:
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert "tiny\n    A small parsing net on few people" in said and "steps: parsing 150" in said
    assert said.index("tiny\n") < said.index("paper/lap_64\n")


def test_a_full_disk_and_too_little_memory_have_their_exit_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, code, words in (
        (OSError(28, "No space left on device", "file"), 6, "The disk is full (file)."),
        (torch.OutOfMemoryError("CUDA out of memory"), 5, "memory is too small for a step"),
    ):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("trainer.engine.loop.train", fail)
        assert main(["tiny", "--out", str(tmp_path / "run")]) == code
        assert words in capsys.readouterr().err
