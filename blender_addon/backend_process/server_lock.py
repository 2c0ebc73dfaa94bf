"""Whether any server of this user runs on this computer, whoever started it (``server.lock`` in docs/protocol.md)."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import AddonError
from .file_lock import is_locked

END_SECONDS = 10.0
"""A server without clients ends within about five seconds."""


def wait_for_end(folder: Path, seconds: float = END_SECONDS) -> None:
    """Wait until no server runs. Raises ``AddonError`` ``in_use`` if one still runs after ``seconds``."""
    until = time.monotonic() + seconds
    while server_runs(folder):
        if time.monotonic() >= until:
            raise in_use()
        time.sleep(0.1)


def in_use() -> AddonError:
    """The error for changing a backend that others use."""
    return AddonError(
        "Another Blender, or another program, is using the backend; nothing was changed.",
        "Quit the other one, or wait until it has, and try again.",
        "in_use",
    )


def server_runs(folder: Path) -> bool:
    """Whether a server holds the lock of this configuration folder."""
    return is_locked(folder / "server.lock")
