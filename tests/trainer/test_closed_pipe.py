"""``python -m trainer list | head``: a reader that has read enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_a_reader_that_has_read_enough_is_no_error() -> None:
    shell = '"$0" -m trainer list | true'
    result = subprocess.run(["sh", "-c", shell, sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
