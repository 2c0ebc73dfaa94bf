"""The user's configuration folder for Likeness, private files in it, and the folder of a server's jobs."""

import os
import shutil
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from backend.errors import LikenessError
from protocol.file_lock import FileLock, lock_file

CONFIG_VARIABLE = "LIKENESS_CONFIG_DIR"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
OWN_NAMES = frozenset({"server_key", "client_key", "jobs"})
"""Names of what lies in the folder, without suffixes."""
JOBS = "jobs"
"""Folder in the configuration folder. It has a folder per server with its jobs, named after its instance, and a lock
beside it that the server holds."""


def config_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Folder of the keys and of servers' jobs (docs/protocol.md); it may not exist yet.

    Raises ``LikenessError`` "usage" where it would depend on the current folder: keys do not belong there.
    """
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    if platform == sys.platform != "win32":
        _check_home(environment)
    home = Path(os.path.expanduser("~"))
    if platform == "win32":
        base = environment.get("APPDATA") or home / "AppData" / "Roaming"
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = environment.get("XDG_CONFIG_HOME") or home / ".config"
    return Path(base) / "likeness"


def make_private_folder(path: Path) -> None:
    """Make a folder that only this user may enter, or restrict an existing one to this user.

    An existing folder in which other things lie is another's or serves another purpose: its rights stay as they are.

    Raises ``OSError``, and ``LikenessError`` "usage" for such a folder that others may enter.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    status = path.stat()
    if not status.st_mode & 0o077:
        return
    shared = bool(status.st_mode & stat.S_ISVTX) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid())
    if shared or any(not _is_ours(name) for name in os.listdir(path)):
        why = "is not yours alone" if shared else "other files are in it"
        advice = f"Name a folder of its own in {CONFIG_VARIABLE}, such as {path / 'likeness'}."
        raise LikenessError("usage", f"The folder {path} is open to other users, and {why}.", advice)
    path.chmod(FOLDER_MODE)


def _is_ours(name: str) -> bool:
    return name.removeprefix(".").split(".")[0] in OWN_NAMES


def _check_home(environment: Mapping[str, str]) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        if (value := environment.get(variable)) is not None and not os.path.isabs(value):
            if variable == "XDG_CONFIG_HOME" and not value:
                continue
            advice = f"Set it, or {CONFIG_VARIABLE}, to a folder."
            raise LikenessError("usage", f"{variable} is {value!r}, no absolute path.", advice)


def private_opener(path: str, flags: int) -> int:
    """``opener`` of ``open`` for a file that only this user may read."""
    return os.open(path, flags, FILE_MODE)


def jobs_folder(config: Path, instance: str) -> tuple[Path, FileLock]:
    """The private folder of a server's jobs, and the lock that it holds while it runs. What servers left that were
    killed with their workers is removed. Raises ``OSError``."""
    folder = config / JOBS
    make_private_folder(config)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    for left in {path.with_suffix("") for path in folder.iterdir()}:
        lock = left.with_suffix(".lock")
        if (taken := lock_file(lock, 0.0, mode=FILE_MODE)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            with suppress(OSError):  # Windows does not delete what is open: the next start does
                lock.unlink()
            taken.release()
    while (own := lock_file(folder / f"{instance}.lock", mode=FILE_MODE)) is None:
        pass  # another server that starts looks whether it is left
    (folder / instance).mkdir(mode=FOLDER_MODE)
    return folder / instance, own
