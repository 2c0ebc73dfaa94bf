"""Exclusive lock on a file, one process at a time. The system releases it when the process ends, however it ends.

Lock of a backend folder: one process of a user at a time installs into it or removes it, and no server starts then.

The lock file lies in the user's configuration folder, because a removal deletes the backend's folder and Windows cannot
delete an open file.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

from ..errors import AddonError

PATIENCE_SECONDS = 0.5
"""Time-out for acquiring the lock: a process that only tests it (``is_locked``) holds it for a moment."""
LOOK_SECONDS = 0.03
"""The same time-out for ``is_locked`` on Windows, where two processes that only test the lock exclude each other."""


class FileLock:
    """An exclusive file lock, held until ``release``; child processes do not inherit it.

    The file is created if missing and never deleted, because deleting it could remove a file that another process has
    just locked.

    Raises ``BlockingIOError`` if another process holds the lock, another ``OSError`` if the file cannot be created.
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
        """Release the lock."""
        _let_go(self._file)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock exclusively; False if the file does not exist."""
    try:
        with path.open("r+b", buffering=0) as file:
            if not _locked_within(file, LOOK_SECONDS if sys.platform == "win32" else 0.0, shared=True):
                return True
            _let_go(file)
            return False
    except OSError:
        return False


def _locked_within(file: BinaryIO, seconds: float, shared: bool = False) -> bool:
    """Retry ``_locked`` for up to ``seconds``."""
    until = time.monotonic() + seconds
    while not _locked(file, shared):
        if time.monotonic() >= until:
            return False
        time.sleep(0.01)
    return True


def _locked(file: BinaryIO, shared: bool) -> bool:
    """Try to lock without waiting; return whether it worked. Raises ``OSError`` if the file system has no locks.

    ``shared`` allows other shared locks beside it; Windows ignores it.
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
    """Unlock and close the file. Closing also unlocks, but on Windows only with a delay."""
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


FOLDER_BUSY = "being_changed"
"""Error code for operations that this lock refuses."""


def lock_folder(config: Path, root: Path) -> FileLock:
    """Lock the backend folder ``root``; ``config`` is the user's configuration folder.

    Raises ``AddonError``: ``being_changed`` if another process holds the lock, ``config`` if it cannot be created.
    """
    try:
        return FileLock(_lock_file(config, root))
    except BlockingIOError:
        raise being_changed(root) from None
    except OSError as error:
        raise AddonError(
            f"The folder {config} cannot be written to ({error.strerror or error}).",
            "Check its permissions, and whether its disk is full.",
            "config",
        ) from error


def is_being_changed(config: Path, root: Path) -> bool:
    """Whether a process is installing into the folder or removing its contents."""
    return is_locked(_lock_file(config, root))


def being_changed(root: Path) -> AddonError:
    """The error for using a backend that another process is installing or removing."""
    return AddonError(
        f"Another Blender is installing or removing the backend in {root}.",
        "Wait until it has finished, and try again.",
        FOLDER_BUSY,
    )


def _lock_file(config: Path, root: Path) -> Path:
    whole = os.path.normcase(os.path.realpath(root))
    return config / f"install-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]}.lock"
