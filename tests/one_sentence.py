"""How a command must end that cannot do what was asked. Tests of every folder can import this one."""

from __future__ import annotations

import re
import subprocess

from backend.errors import EXIT_CODES


def assert_one_sentence(result: subprocess.CompletedProcess[str], code: str, words: str) -> None:
    """The exit code of the error ``code``, its sentence (a pattern), and no traceback."""
    assert result.returncode == EXIT_CODES[code], result.stderr
    assert re.search(words, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
