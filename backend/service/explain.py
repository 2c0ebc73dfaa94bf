"""Explanations of a job's errors for the user of the client."""

from __future__ import annotations

import errno

from backend.errors import LikenessError

DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def explain(error: BaseException) -> LikenessError:
    """The ``LikenessError`` that explains an error to the user; the error itself when it is one."""
    if isinstance(error, LikenessError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return LikenessError(
            "out_of_memory",
            "The machine that computes has not enough memory.",
            "Close other programs there, give fewer photos, or choose a smaller texture or the CPU.",
        )
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return LikenessError("disk", "The disk of the machine that computes is full.", "Make room there and try again.")
    if isinstance(error, ImportError):
        return LikenessError(
            "missing_part",
            f"A part of the backend is missing or broken: {error.name or error}.",
            "Repair the backend's installation, or run: python -m backend doctor",
        )
    return LikenessError(
        "internal",
        f"Something went wrong inside Likeness ({type(error).__name__}: {error}).",
        "Try again; if it happens again, report it with the server's log.",
    )
