"""How a running server is found, and that there is only one per user."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from backend.errors import LikenessError
from backend.file_lock import try_lock
from backend.service.config_folder import write_private
from backend.service.messages import PROTOCOL

STATE_FILE, LOCK_FILE = "server.json", "server.lock"
FORMAT_VERSION = 1
LOCK_SECONDS = 2.0
"""A server that has taken its ``server.json`` back may take a second more to send what it still has to say."""


class ServerState(msgspec.Struct, frozen=True):
    """``server.json``: a running server."""

    endpoint: str
    public_key: str
    pid: int
    instance: str
    version: int = FORMAT_VERSION
    protocol: int = PROTOCOL


def write_state(folder: Path, state: ServerState) -> None:
    """Say where this server is. Raises ``OSError``."""
    write_private(folder / STATE_FILE, msgspec.json.encode(state))


def read_state(folder: Path) -> ServerState | None:
    """The server that runs, or ran and was killed; None where nothing is said."""
    try:
        return msgspec.json.decode((folder / STATE_FILE).read_bytes(), type=ServerState)
    except (OSError, msgspec.MsgspecError):
        return None


def remove_state(folder: Path, instance: str) -> None:
    """Take back what ``write_state`` said, if it was this server."""
    state = read_state(folder)
    if state is not None and state.instance == instance:
        with suppress(OSError):
            (folder / STATE_FILE).unlink()


class ServerLock:
    """Held while a server runs; the system lets it go when the process ends, however it ends.

    Raises ``LikenessError`` ("in_use") when another process holds it and goes on doing so: a server that is just ending
    is waited for, and so is somebody who only looks whether there is one.
    """

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        until = time.monotonic() + LOCK_SECONDS
        while not try_lock(self._file):
            state = read_state(folder)
            if time.monotonic() >= until or (state is not None and process_runs(state.pid)):
                self._file.close()
                where = f" (process {state.pid}, {state.endpoint})" if state else ""
                sentence = f"A Likeness server of this user runs already{where}."
                raise LikenessError("in_use", sentence, "Use that one, or stop it first.")
            time.sleep(0.05)

    def release(self) -> None:
        """Let others start."""
        self._file.close()


def process_runs(pid: int) -> bool:
    """Whether a process with that id is there and has not ended."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _windows_process_runs(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    with suppress(OSError, IndexError):  # ended, but its own parent has not asked for its exit code yet
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
