"""A file that one process at a time can lock; the system lets the lock go when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

PATIENCE_SECONDS = 0.5
"""Whoever only looks holds a lock for a moment."""
LOOK_SECONDS = 0.03
"""On Windows, where two that only look are in each other's way, too."""


class FileLock:
    """The lock of a file, which it keeps until ``release``; programs that this process starts do not inherit it.

    The file is made where it is missing, and stays: who deleted it could delete one that somebody else just locked.

    Raises ``BlockingIOError`` where another process holds it, another ``OSError`` where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        try:
            if not _locked_within(self._file, PATIENCE_SECONDS):
                raise BlockingIOError(f"{path} is locked")
        except OSError:
            self._file.close()
            raise

    def release(self) -> None:
        """Let others have it."""
        _let_go(self._file)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of the file, and not only looks; not where there is no such file."""
    try:
        with path.open("r+b", buffering=0) as file:
            if not _locked_within(file, LOOK_SECONDS if sys.platform == "win32" else 0.0, shared=True):
                return True
            _let_go(file)
            return False
    except OSError:
        return False


def _locked_within(file: BinaryIO, seconds: float, shared: bool = False) -> bool:
    """As ``_locked``, tried again and again for so long."""
    until = time.monotonic() + seconds
    while not _locked(file, shared):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def _locked(file: BinaryIO, shared: bool) -> bool:
    """Whether the lock could be had; ``shared`` : with others that look. Raises ``OSError`` where there are no locks.

    Windows knows no ``shared``.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _let_go(file: BinaryIO) -> None:
    """Unlock and close. Closing alone unlocks, too, but on Windows only when the system gets to it."""
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
