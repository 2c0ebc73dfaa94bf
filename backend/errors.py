"""Errors that are shown to the user, their exit codes, and how a terminal's command ends: without a crash where
addresses are too few, and quietly where its pipe closes (``python -m backend doctor | head``)."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

EXIT_MEANINGS: dict[str, tuple[int, str]] = {
    "internal": (1, "an error in Likeness itself"),
    "usage": (2, "wrong arguments"),
    "no_photo": (3, "no photo could be read"),
    "no_face": (4, "no usable face in the photos"),
    "out_of_memory": (5, "not enough memory"),
    "disk": (6, "the output folder could not be written"),
    "missing_part": (7, "something is not installed (see: python -m backend doctor)"),
    "cancelled": (8, "cancelled with Ctrl-C; nothing was written (batch: those that are done stay)"),
    "in_use": (9, "the port is taken, or another run writes into the folder"),
    "some_failed": (10, "some people of a batch failed, the others are done"),
}
EXIT_CODES = {code: number for code, (number, _) in EXIT_MEANINGS.items()}
"""Exit code of the command line for each ``LikenessError.code`` (documented in docs/command_line.md)."""
DISK_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NO_MEMORY = ("can't allocate memory", "Failed to allocate", "std::bad_alloc")
"""Words of torch's and OpenCV's errors where memory runs out."""
LEAST_ADDRESS_SPACE_GB = 4
"""Five photos use 3 GB of addresses on two cores, and more with more threads."""


class LikenessError(Exception):
    """An error that the user can act on.

    Parameters
    ----------
    code : one of the keys of ``EXIT_CODES``.
    sentence : what happened, one plain sentence.
    advice : what to do about it, one plain sentence.
    """

    def __init__(self, code: str, sentence: str, advice: str = "") -> None:
        if code not in EXIT_CODES:
            raise ValueError(f"unknown error code {code!r}; known: {sorted(EXIT_CODES)}")
        super().__init__(f"{sentence} {advice}".strip())
        self.code = code
        self.sentence = sentence
        self.advice = advice

    def fields(self) -> dict[str, str]:
        """Code, sentence and advice, as in a message."""
        return {"code": self.code, "sentence": self.sentence, "advice": self.advice}


class DamagedFileError(LikenessError):
    """A file of Likeness itself is damaged; always reported, never worked around.

    Parameters
    ----------
    path : the file. reason : what is wrong with it, a clause.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            "missing_part",
            f"The file {path.parent.name}/{path.name} is damaged: {reason}.",
            "Install Likeness again, or take the file from its repository again (git checkout).",
        )


class Cancelled(LikenessError):
    """Raised by a ``ProgressReporter`` when the user asked to stop."""

    def __init__(self) -> None:
        super().__init__("cancelled", "The reconstruction was cancelled.", "Nothing was written.")


def explain(error: BaseException) -> LikenessError:
    """The ``LikenessError`` that explains an error to the user; the error itself when it is one."""
    if isinstance(error, LikenessError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return LikenessError("cancelled", "Cancelled.", "Nothing was written.")
    number = error.errno if isinstance(error, OSError) else None
    no_memory = number == errno.ENOMEM or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if no_memory or any(words in str(error) for words in NO_MEMORY):
        return LikenessError(
            "out_of_memory",
            "The machine that computes has not enough memory.",
            "Close other programs there, give fewer photos, or choose a smaller texture or the CPU.",
        )
    if number in DISK_FULL:
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
        "Try again; if it happens again, report it with the server's log, or with what --traceback prints.",
    )


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
