"""Commands of the trainer in forks of one process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainer.chain import run as chain

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def test_each_command_begins_anew_and_its_exit_code_and_words_come_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "IMPORTED", ())
    run, command = chain._forked(tmp_path, {"LIKENESS_CACHE": str(tmp_path)}), chain.Command("list")
    assert run(command, ["--help"]) == 0
    assert "preview-data" in capfd.readouterr().out
    assert run(command, ["all", "--nonsense"]) == 2
    assert "--nonsense" in capfd.readouterr().err
    assert run(command, ["--help"]) == 0
