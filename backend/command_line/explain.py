"""Explanations of errors for the user at the terminal."""

from __future__ import annotations

import errno

from backend.errors import LikenessError


def explain(error: BaseException) -> LikenessError:
    """The ``LikenessError`` that explains an error to the user; the error itself when it is one."""
    if isinstance(error, LikenessError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return LikenessError("cancelled", "Cancelled.", "Nothing was written.")
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if no_memory or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return LikenessError(
            "out_of_memory",
            "There is not enough memory.",
            "Close other programs, give fewer photos, or use --texture 1024 or --device cpu.",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LikenessError("disk", "The disk is full.", "Free some space.")
    if isinstance(error, ImportError):
        missing = error.name or str(error)
        return LikenessError(
            "missing_part", f"A part is missing or broken: {missing}.", "Run: python -m backend doctor"
        )
    return LikenessError(
        "internal",
        f"Something went wrong inside Likeness ({type(error).__name__}: {error}).",
        "Run it again with --traceback and report what it prints.",
    )
