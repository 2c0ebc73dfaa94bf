"""A file that one process at a time can lock; the system lets the lock go when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

PATIENCE_SECONDS = 0.5
"""Whoever only looks holds a lock for a moment."""


class FileLock:
    """The lock of a file, which it keeps until ``release``; programs that this process starts do not inherit it.

    The file is made where it is missing, and stays: who deleted it could delete one that somebody else just locked.

    Raises ``BlockingIOError`` where another process holds it, another ``OSError`` where the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        until = time.monotonic() + PATIENCE_SECONDS
        while not _locked(self._file):
            if time.monotonic() >= until:
                self._file.close()
                raise BlockingIOError(f"{path} is locked")
            time.sleep(0.02)

    def release(self) -> None:
        """Let others have it."""
        self._file.close()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of the file; not where there is no such file."""
    try:
        with path.open("r+b", buffering=0) as file:
            return not _locked(file)
    except OSError:
        return False


def _locked(file: BinaryIO) -> bool:
    """Whether the lock could be had; closing ``file`` lets it go. Raises ``OSError`` where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
