"""One batch at a time in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import LikenessError
from backend.exchange.all_or_none import disk_error

LOCK_FILE = ".batch.lock"


@contextmanager
def only_batch_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which goes with the process however it ends; makes the folder where it is missing.

    Raises
    ------
    LikenessError : "in_use" when another batch works there, "disk" when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    except OSError as error:
        raise disk_error(error, folder) from error
    with file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            advice = "Wait for it, or choose another folder with --out."
            raise LikenessError("in_use", f"Another batch works in {folder} already.", advice) from error
        yield
