"""A lock on a file that the system frees when its holder ends, however it ends."""

from __future__ import annotations

import errno
import sys
from typing import IO

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process alone; False where another holds it.

    A file system that has no locks, as some on the network, lets everybody have it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return sys.platform != "win32" and error.errno in _NO_LOCKS_HERE
    return True
