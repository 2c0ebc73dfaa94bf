"""Lock of a backend folder: one process of a user at a time installs into it or removes it, and no server starts then.

The lock file lies in the user's configuration folder, because a removal deletes the backend's folder and Windows cannot
delete an open file.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import AddonError
from ..shared.file_lock import FileLock, is_locked, lock_file

FOLDER_BUSY = "being_changed"
"""Error code for operations that this lock refuses."""


def lock_folder(config: Path, root: Path) -> FileLock:
    """Lock the backend folder ``root``; ``config`` is the user's configuration folder.

    Raises ``AddonError``: ``being_changed`` if another process holds the lock, ``config`` if it cannot be created.
    """
    try:
        lock = lock_file(_lock_path(config, root), mode=0o600)
    except OSError as error:
        raise AddonError(
            f"The folder {config} cannot be written to ({error.strerror or error}).",
            "Check its permissions, and whether its disk is full.",
            "config",
        ) from error
    if lock is None:
        raise being_changed(root)
    return lock


def is_being_changed(config: Path, root: Path) -> bool:
    """Whether a process is installing into the folder or removing its contents."""
    return is_locked(_lock_path(config, root))


def being_changed(root: Path) -> AddonError:
    """The error for using a backend that another process is installing or removing."""
    return AddonError(
        f"Another Blender is installing or removing the backend in {root}.",
        "Wait until it has finished, and try again.",
        FOLDER_BUSY,
    )


def _lock_path(config: Path, root: Path) -> Path:
    whole = os.path.normcase(os.path.realpath(root))
    return config / f"install-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]}.lock"
