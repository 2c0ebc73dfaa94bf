"""A file lock that the system releases when its holder exits, even by a crash."""

from __future__ import annotations

import errno
import sys
from typing import IO

_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def try_lock(file: IO[bytes]) -> bool:
    """Lock an open file exclusively for this process; False if another process holds it.

    Returns True on file systems without locks, such as some network file systems.
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
