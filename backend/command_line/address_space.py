"""Check of the limit on address space, which the libraries need."""

from __future__ import annotations

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
