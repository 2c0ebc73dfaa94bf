"""How a command must end that cannot do what was asked. Tests of every folder can import this one."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

from backend.__main__ import main
from backend.errors import EXIT_CODES


def run_here(*arguments: str | Path) -> CompletedProcess[str]:
    """``python -m backend`` in this process, which has imported what takes seconds."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main([str(one) for one in arguments])
    return CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def assert_one_sentence(result: CompletedProcess[str], code: str, words: str) -> None:
    """The exit code of the error ``code``, its sentence (a pattern), and no traceback."""
    assert result.returncode == EXIT_CODES[code], result.stderr
    assert re.search(words, result.stderr), result.stderr
    assert "Traceback" not in result.stderr
