"""Discovery of a running server, and the lock that allows one per user.

The user's configuration folder for Likeness, and private files in it.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from backend.errors import LikenessError
from backend.service.messages import PROTOCOL
from protocol.file_lock import FileLock, lock_file

CONFIG_VARIABLE = "LIKENESS_CONFIG_DIR"
FOLDER_MODE = 0o700
FILE_MODE = 0o600
OWN_NAMES = frozenset({"server", "server_key", "client_key", "authorized_clients"})
"""Names of the files in the folder, without suffixes."""


def config_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Folder of the keys and the state of a running server (docs/protocol.md); it may not exist yet.

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
        raise LikenessError(
            "usage",
            f"The folder {path} is open to other users, and {why}.",
            f"Name a folder of its own in {CONFIG_VARIABLE}, such as {path / 'likeness'}.",
        )
    path.chmod(FOLDER_MODE)


def _is_ours(name: str) -> bool:
    return name.removeprefix(".").split(".")[0] in OWN_NAMES


def _check_home(environment: Mapping[str, str]) -> None:
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        if (value := environment.get(variable)) is not None and not os.path.isabs(value):
            if variable == "XDG_CONFIG_HOME" and not value:
                continue
            raise LikenessError(
                "usage", f"{variable} is {value!r}, no absolute path.", f"Set it, or {CONFIG_VARIABLE}, to a folder."
            )


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


STATE_FILE, LOCK_FILE = "server.json", "server.lock"
FORMAT_VERSION = 1
LOCK_SECONDS = 2.0
"""Time that an ending server may still need after it has removed its ``server.json``, to send its last messages."""


class ServerState(msgspec.Struct, frozen=True):
    """``server.json``: a running server."""

    endpoint: str
    public_key: str
    pid: int
    instance: str
    version: int = FORMAT_VERSION
    protocol: int = PROTOCOL


def write_state(folder: Path, state: ServerState) -> None:
    """Write the state file of this server. Raises ``OSError``."""
    write_private(folder / STATE_FILE, msgspec.json.encode(state))


def read_state(folder: Path) -> ServerState | None:
    """The server that runs, or ran and was killed; None without a readable file."""
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=ServerState)
    except (OSError, msgspec.MsgspecError):
        return None


def remove_state(folder: Path, instance: str) -> None:
    """Remove the state file if it is this server's."""
    state = read_state(folder)
    if state is not None and state.instance == instance:
        with suppress(OSError):
            (folder / STATE_FILE).unlink()


def lock_server(folder: Path) -> FileLock:
    """The lock held while a server runs. Waits for a server that is just ending, and for a process that only checks for
    a server.

    Raises ``LikenessError`` ("in_use") when another process keeps it.
    """

    def another_runs() -> bool:
        state = read_state(folder)
        return state is not None and process_runs(state.pid)

    lock = lock_file(folder / LOCK_FILE, LOCK_SECONDS, another_runs, mode=FILE_MODE)
    if lock is None:
        state = read_state(folder)
        where = f" (process {state.pid}, {state.endpoint})" if state else ""
        sentence = f"A Likeness server of this user runs already{where}."
        raise LikenessError("in_use", sentence, "Use that one, or stop it first.")
    return lock


def process_runs(pid: int) -> bool:
    """Whether a process with that id exists and has not ended."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _windows_process_runs(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # of another user
    with suppress(OSError, IndexError):  # a zombie: ended, but not yet reaped by its parent
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return True


def _windows_process_runs(pid: int) -> bool:
    import ctypes

    synchronize, timeout = 0x00100000, 0x102
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        return False
    try:
        return kernel.WaitForSingleObject(handle, 0) == timeout
    finally:
        kernel.CloseHandle(handle)
