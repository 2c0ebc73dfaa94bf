"""Commands of the trainer in forks of one process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.errors import LikenessError
from trainer.chain.run import ForkedCommands

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_each_command_begins_anew_and_its_exit_code_and_words_come_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ForkedCommands(tmp_path, ENVIRONMENT, ()) as forked:
        assert forked.run(["--help"]) == 0
        assert "preview-data" in capfd.readouterr().out
        assert forked.run(["all", "--nonsense"]) == 2
        assert "--nonsense" in capfd.readouterr().err
        assert forked.run(["--help"]) == 0


def test_a_process_that_is_gone_is_said(tmp_path: Path) -> None:
    gone = pytest.raises(LikenessError, match="has ended")
    with ForkedCommands(tmp_path, ENVIRONMENT, ("no_such_module",)) as commands, gone:
        commands.run(["list"])
