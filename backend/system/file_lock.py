"""A file lock that the system releases when its holder exits, even by a crash."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS_HERE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_BY_UMASK = -1
"""Permissions of a new file as ``filelock`` gives them by default."""


def lock_file(
    path: Path, seconds: float = 0.0, give_up: Callable[[], bool] | None = None, mode: int = _BY_UMASK
) -> FileLock | None:
    """Lock the file ``path`` exclusively until ``release``; it and its folder are created if missing.

    None if another process still holds it after ``seconds``, or earlier where ``give_up`` is true. Holds nobody off on
    file systems without locks, such as some network file systems.

    Raises ``OSError`` if it cannot be created.
    """
    lock = FileLock(path, mode=mode, thread_local=False)
    try:
        lock.acquire(seconds, poll_interval=0.01, cancel_check=give_up)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return lock
