"""The user's configuration folder for Likeness, and private files in it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

CONFIG_VARIABLE = "LIKENESS_CONFIG_DIR"
FOLDER_MODE = 0o700
FILE_MODE = 0o600


def config_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Folder of the keys and the state of a running server (docs/protocol.md); it may not exist yet."""
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    home = Path(os.path.expanduser("~"))
    if platform == "win32":
        base = environment.get("APPDATA") or home / "AppData" / "Roaming"
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = environment.get("XDG_CONFIG_HOME") or home / ".config"
    return Path(base) / "likeness"


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, or restrict an existing one to this user. Raises ``OSError``."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(FOLDER_MODE)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only this user may read, atomically, replacing an earlier one. Raises ``OSError``."""
    temporary = _temporary_beside(path, data)
    try:
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_private_once(path: Path, data: bytes) -> bool:
    """As ``write_private``, but keeps an earlier file; returns whether ``data`` was written."""
    temporary = _temporary_beside(path, data)
    try:
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


def _temporary_beside(path: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp creates it with mode 0600
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)
