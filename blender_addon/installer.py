"""The installation in progress (at most one), and the folder that holds the backend."""

import threading
from pathlib import Path

import bpy

from .backend_process import folders
from .backend_process.folders import BackendFolder, FolderState, Looks, lock_folder
from .backend_process.install import Installation, InstallPlan, InstallView, Removal, has_nvidia
from .errors import AddonError
from .identity import PACKAGE, user_folder
from .runner import Runner
from .shared.keys import config_folder

_current: Installation | None = None
_cuda = _asked = False
_looks = Looks(folders.inspect_folder)


def own_folder() -> BackendFolder:
    """The extension's own folder in the user's Blender folder; it survives updates."""
    return BackendFolder(user_folder("backend"))


def server_log() -> Path:
    """Log file of the last started backend, wherever it is installed."""
    return own_folder().root / "server.log"


def backend_folder() -> BackendFolder:
    """The folder named in the preferences, in which the backend is installed and runs."""
    entry = bpy.context.preferences.addons.get(PACKAGE)
    entered = "" if entry is None or entry.preferences is None else entry.preferences.backend_folder
    return folders.entered_folder(entered, own_folder().root)


def named_folder(drawing: bool = False) -> FolderState:
    """State of the folder named in the preferences. Waits seconds for a slow drive, except with ``drawing``."""
    folder = backend_folder()
    return _looks.at(folder, drawing) or folders.without_answer(folder)


def cuda_card() -> bool:
    """Whether an NVIDIA card has been found so far. The first call starts the check on a thread, as it may take
    seconds."""
    global _asked

    def ask() -> None:
        global _cuda
        _cuda = has_nvidia()

    if not _asked:
        _asked = True
        threading.Thread(target=ask, name="likeness-card", daemon=True).start()
    return _cuda


def view() -> InstallView | None:
    """Progress of the installation, or the outcome of the last one into the named folder; None if there was none."""
    if _current is None or (_current.view.finished and _current.folder.root != backend_folder().root):
        return None
    return _current.view


def running() -> bool:
    """Whether something is being installed or removed."""
    return _current is not None and not _current.view.finished


def last_lines(count: int) -> list[str]:
    """The last lines of the installation's log."""
    return [] if _current is None else list(_current.lines)[-count:]


def start(plan: InstallPlan | None, runner: Runner) -> Installation:
    """Begin an installation, or a removal if ``plan`` is None. Where there is a backend already, that of ``runner`` is
    stopped.

    Raises ``AddonError``, with nothing changed, if one already runs here or in another Blender, or if a quick check of
    the folder fails.
    """
    global _current
    if running():
        raise AddonError("An installation is already running.", "Wait for it, or stop it.", "busy")
    state = named_folder()
    folder = state.folder
    if problem := folders.removal_problem(folder) if plan is None and state.answers else state.problem:
        raise problem
    lock = lock_folder(config_folder(), folder.root)
    end_server = None
    if state.has_contents:
        runner.stop()  # a running backend cannot be replaced
        end_server = runner.wait_for_end
    kind = Removal if plan is None else Installation
    _current = kind(folder, plan, end_server, lock, _looks.forget)
    _current.start()
    return _current


def stop() -> None:
    """Stop the running installation."""
    if _current is not None and not _current.view.finished:
        _current.stop()


def forget() -> None:
    """Stop everything and clear the state: the extension is being disabled."""
    global _current
    stop()
    _current = None
