"""Lock that allows one batch at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import LikenessError
from backend.exchange.all_or_none import disk_errors_named
from backend.file_lock import lock_file

LOCK_FILE = ".batch.lock"


@contextmanager
def only_batch_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system releases when the process ends; creates the folder if it is missing.

    Raises
    ------
    LikenessError : "in_use" when another batch works there, "disk" when the folder cannot be written.
    """
    with disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = lock_file(folder / LOCK_FILE)
    if lock is None:
        advice = "Wait for it, or choose another folder with --out."
        raise LikenessError("in_use", f"Another batch works in {folder} already.", advice)
    try:
        yield
    finally:
        lock.release()
