"""Output that nobody reads to its end, as in ``python -m backend doctor | head``, is no error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def until_nobody_reads(run: Callable[[], int]) -> int:
    """The exit code that ``run`` gives, or 0 where whoever reads standard output has read enough.

    What is still to be written is written here, where a closed pipe or a full disk can still be told.
    """
    try:
        code = run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
