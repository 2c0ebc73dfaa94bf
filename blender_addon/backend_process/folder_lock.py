"""One process of a user at a time installs into a backend's folder or removes what is in it; no server starts then.

The locked file lies in the user's configuration folder: a removal deletes what is in the backend's own, and Windows
deletes no file that is open.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..errors import AddonError
from .file_lock import FileLock, is_locked

BEING_CHANGED = "being_changed"
"""The code of what is refused for it."""


def lock_folder(config: Path, root: Path) -> FileLock:
    """The lock of the backend's folder ``root``; ``config`` is the user's configuration folder.

    Raises ``AddonError``: ``being_changed`` where another process has it, ``config`` where none can be had.
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
    """Whether a process is installing into the folder or removing what is in it."""
    return is_locked(_lock_file(config, root))


def being_changed(root: Path) -> AddonError:
    """Nothing can be done with a backend that another process is just making or deleting."""
    return AddonError(
        f"Another Blender is installing or removing the backend in {root}.",
        "Wait until it has finished, and try again.",
        BEING_CHANGED,
    )


def _lock_file(config: Path, root: Path) -> Path:
    whole = os.path.normcase(os.path.realpath(root))
    return config / f"install-{hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]}.lock"
