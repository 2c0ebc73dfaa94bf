"""The one installation that may run, and where its result lies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import bpy

from .backend_process.folders import BackendFolder
from .backend_process.install import Installation, InstallPlan, InstallView, Removal, has_nvidia
from .errors import AddonError
from .identity import PACKAGE

_current: Installation | None = None
_cuda = _asked = False


def backend_folder() -> BackendFolder:
    """The extension's own folder in the user's Blender folder; it survives updates."""
    try:
        root = bpy.utils.extension_path_user(PACKAGE, path="backend")
    except ValueError:  # not installed as an extension but imported from a checkout
        root = bpy.utils.user_resource("DATAFILES", path="likeness/backend")
    return BackendFolder(Path(root))


def cuda_card() -> bool:
    """Whether an NVIDIA card was found so far; the first call asks on a thread, for the answer may take seconds."""
    global _asked

    def ask() -> None:
        global _cuda
        _cuda = has_nvidia()

    if not _asked:
        _asked = True
        threading.Thread(target=ask, name="likeness-card", daemon=True).start()
    return _cuda


def view() -> InstallView | None:
    """How the installation goes, or went; None where there was none."""
    return None if _current is None else _current.view


def running() -> bool:
    """Whether something is being installed or removed."""
    return _current is not None and not _current.view.finished


def last_lines(count: int) -> list[str]:
    """The last lines of its log."""
    return [] if _current is None else list(_current.lines)[-count:]


def start(plan: InstallPlan | None, end_server: Callable[[], None] | None = None) -> Installation:
    """Begin an installation, or with None a removal; ``end_server`` as in ``Installation``.

    Raises ``AddonError`` while one runs.
    """
    global _current
    if running():
        raise AddonError("An installation is already running.", "Wait for it, or stop it.", "busy")
    folder = backend_folder()
    _current = Removal(folder, end_server) if plan is None else Installation(folder, plan, end_server)
    _current.start()
    return _current


def stop() -> None:
    """End the installation that runs."""
    if _current is not None and not _current.view.finished:
        _current.stop()


def forget() -> None:
    """End everything and remember nothing: the extension is being disabled."""
    global _current
    stop()
    _current = None
