"""Sub-commands whose modules are imported when they are asked for."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.__main__ import main
from trainer.commands import COMMANDS, EVALUATIONS
from trainer.engine.recipe import find_recipe, load_recipe


def test_only_the_command_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from trainer.__main__ import main\n"
        "try: main(['{0}', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({{'torch', 'trainer.evaluate.foreign', 'trainer.train_command'}} & set(sys.modules)))"
    )
    found = [
        subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
        for name in ("--help", "evaluate")
    ]
    assert [run.stdout.splitlines()[-1] for run in found] == ["[]", "[]"]
    assert "scans" in found[1].stdout


@pytest.mark.parametrize("module_name", [*(entry[0] for entry in (COMMANDS | EVALUATIONS).values())])
def test_every_command_has_options_and_a_way_to_run(module_name: str) -> None:
    module = importlib.import_module(module_name)
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)


def test_every_key_of_a_kind_and_of_a_recipe_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "portraits"]) == 0
    assert 'largest_yaw: float = 90.0\n    """Largest yaw to either side, degrees."""' in capsys.readouterr().out
    assert main(["explain", "paper/lap_64"]) == 0
    assert {"relaxed:", "clip_norm:", "checkpoint_minutes:"} <= set(capsys.readouterr().out.split())
    assert main(["explain", "nosuch"]) != 0
    assert "learned_basis" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_a_reader_that_has_read_enough_is_no_error() -> None:
    shell, root = '"$0" -m trainer list | true', Path(__file__).resolve().parents[2]
    result = subprocess.run(["sh", "-c", shell, sys.executable], cwd=root, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""


def test_a_printed_recipe_is_whole_and_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--set", "seed=7", "--print"]) == 0
    path = tmp_path / "printed.toml"
    path.write_text(capsys.readouterr().out)
    assert load_recipe(path) == load_recipe(find_recipe("tiny"), ["seed=7"])
