"""Commands of the trainer in forks of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# In a process of its own: forks write where the first of them was told to, which another test may have said.
PROGRAM = """
from pathlib import Path
from trainer.chain import run as chain
chain.IMPORTED = ()
run = chain._forked(Path({folder!r}), {{"LIKENESS_CACHE": {folder!r}}})
print([run(words) for words in (["--help"], ["all", "--nonsense"], ["--help"])])
"""


def test_each_command_begins_anew_and_its_exit_code_and_words_come_back(tmp_path: Path) -> None:
    program = [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path))]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("skin-prior") == 2 and "[0, 2, 0]" in ended.stdout
    assert "--nonsense" in ended.stderr
