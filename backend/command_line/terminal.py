"""What a terminal gets: the check of the address space, one sentence for each error, and a quiet end where its pipe
closes (``python -m backend doctor | head``).
"""

import os
import sys
from collections.abc import Callable

from backend.errors import LikenessError

LEAST_ADDRESS_SPACE_GB = 4
"""Five photos use 3 GB of addresses on two cores, and more with more threads."""


def check_address_space() -> None:
    """Fail early where a limit leaves too little, because libraries would crash without a message.

    Raises ``LikenessError`` with code "out_of_memory".
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE_GB * 2**30:
        raise LikenessError(
            "out_of_memory",
            f"A program may use {limit / 2**30:.1f} GB of addresses here; Likeness needs {LEAST_ADDRESS_SPACE_GB} GB.",
            "Lift the limit first: ulimit -v unlimited",
        )


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
