"""Files that processes of a user share: an exclusive lock, which the system releases when its process ends, however it
ends, and a private file that is written once."""

import errno
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

PATIENCE_SECONDS = 0.5
"""Usual time-out: a process that only tests a lock (``is_locked``) holds it for a moment."""
LOOK_SECONDS = 0.03
"""The same for ``is_locked`` on Windows, where two processes that only test the lock exclude each other."""
_NO_LOCKS_HERE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


class FileLock:
    """A lock that is held until ``release``, or until the process ends; child processes do not inherit it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def release(self) -> None:
        """Release the lock."""
        _unlock(self._file)


def lock_file(path: Path, seconds: float = PATIENCE_SECONDS, mode: int = 0o666) -> FileLock | None:
    """Lock the file ``path``; it, with the permissions ``mode``, and its folder are created if missing.

    None if another process still holds it after ``seconds``. Holds nobody off on file systems without locks, such as
    some network file systems.

    Raises ``OSError`` if it cannot be created.
    """
    until = time.monotonic() + seconds
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, mode), "r+b", buffering=0)
        try:
            if _is_taken(file) and os.fstat(file.fileno()).st_nlink:  # else its holder has just deleted it
                return FileLock(file)
            file.close()
        except BaseException:
            file.close()
            raise
        if time.monotonic() >= until:
            return None
        time.sleep(0.01)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock; False if the file does not exist."""
    until = time.monotonic() + (LOOK_SECONDS if sys.platform == "win32" else 0.0)
    try:
        with path.open("r+b", buffering=0) as file:
            while not _is_taken(file, shared=True):
                if time.monotonic() >= until:
                    return True
                time.sleep(0.01)
            _unlock(file)
            return False
    except OSError:
        return False


def _is_taken(file: BinaryIO, shared: bool = False) -> bool:
    """Lock an open file without waiting; returns whether it worked. ``shared`` allows other shared locks beside it;
    Windows ignores it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return True


def _unlock(file: BinaryIO) -> None:
    """Unlock and close the file. Closing also unlocks, but on Windows only with a delay."""
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)


def write_private_once(path: Path, data: bytes) -> bool:
    """Write a file that only this user may read, atomically. An earlier one is kept; returns whether ``data`` was
    written. Raises ``OSError``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp creates it with mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, fails if another process was faster
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True
