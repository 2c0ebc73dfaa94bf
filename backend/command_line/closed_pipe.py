"""Handle a closed standard output, as in ``python -m backend doctor | head``: it is not an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def run_until_pipe_closes(run: Callable[[], int]) -> int:
    """The exit code of ``run``, or 0 where the reader of standard output has closed it.

    Flushes the output here, where a closed pipe or a full disk can still be reported.
    """
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
