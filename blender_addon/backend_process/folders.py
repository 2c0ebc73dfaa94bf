"""The folder of the installed backend, the extension's own or one that the user entered: whether it looks usable by its
files alone (without waiting for drives that may not respond), what would prevent an installation, and its lock: one
process of a user at a time installs into it or removes it.

The lock file lies in the user's configuration folder, because a removal deletes the backend's folder and Windows cannot
delete an open file.
"""

import hashlib
import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Hashable
from concurrent import futures
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import AddonError
from ..shared.file_lock import FileLock, lock_file

USABLE = "The program is there; the first click shows whether the backend runs in it."
NOTHING_ENTERED = "Enter the Python program of the environment that the backend is installed in."


def problem_of(program: tuple[str, str]) -> str:
    """Describe in one sentence what is wrong with (Python program, source folder or ""); "" if it looks usable."""
    python, source = program
    if not (os.path.isfile(python) and os.access(python, os.X_OK)):
        return "The existing backend's Python was not found, or is not a program."
    if source and not os.path.isfile(os.path.join(source, "backend", "__init__.py")):
        return "The folder that Source names does not hold the package backend."
    return ""


PATIENCE_SECONDS = 10.0
"""Time-out for retrying refused file operations: Windows keeps files of programs that are just ending locked."""

SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers create by themselves. A folder with only these counts as empty."""
_MARK_TEXT = """\
The Blender extension Likeness keeps its backend in this folder: environment, source, and a few files beside them.
"Remove" in the extension's preferences deletes these and this file, and nothing else.
"""


@dataclass(frozen=True)
class Installed:
    """Record of the last complete installation.

    Attributes
    ----------
    version : of the backend.
    python : text for labels.
    torch : its version.
    cuda : whether it can use an NVIDIA card.
    size_bytes : of all files in the folder.
    """

    version: str
    python: str
    torch: str
    cuda: bool
    size_bytes: int


@dataclass(frozen=True)
class BackendFolder:
    """Paths inside a backend folder.

    Attributes
    ----------
    root : the folder.
    entered : what the user entered for it in the preferences; "" for the extension's own folder.
    """

    root: Path
    entered: str = ""

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return self.root / "environment"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def source(self) -> Path:
        """The backend's source and assets."""
        return self.root / "source"

    @property
    def source_part(self) -> Path:
        """The source while it is being unpacked."""
        return self.root / "source.part"

    @property
    def install_log(self) -> Path:
        """The full output of the last installation."""
        return self.root / "install.log"

    @property
    def _note(self) -> Path:
        return self.root / "installed.json"

    @property
    def _mark(self) -> Path:
        return self.root / "likeness_backend.txt"

    @property
    def made(self) -> tuple[Path, ...]:
        """Everything that the extension creates in the folder, in the order of deletion."""
        large = (self.environment, self.source, self.source_part)
        return (*large, self.install_log, self._note, self._mark)

    @property
    def is_absolute_path(self) -> bool:
        """Whether the path is absolute; ``//`` is relative to the .blend file."""
        return not self.entered.startswith("//") and self.root.is_absolute()

    @property
    def is_owned_by_extension(self) -> bool:
        """Whether ``made`` belongs to the extension: in a folder that the user entered, only beside its mark file."""
        return not self.entered or (self.is_absolute_path and os.path.isfile(self._mark))

    @property
    def has_contents(self) -> bool:
        """Whether there is an installation, or leftovers of an interrupted installation or removal."""
        return self.is_owned_by_extension and any(
            map(os.path.exists, (self.environment, self.source, self.source_part))
        )

    def foreign_files(self) -> list[str]:
        """Names of files of other programs, in a folder that is not the extension's own. Raises ``OSError``."""
        if self.is_owned_by_extension:
            return []
        try:
            return sorted(set(os.listdir(self.root)) - SYSTEM_FILES)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def make(self) -> None:
        """Create the folder and mark it as the extension's. Raises ``OSError``."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._mark.write_text(_MARK_TEXT, "utf-8")

    def installed(self) -> Installed | None:
        """The complete installation, or None."""
        if not self.is_owned_by_extension:
            return None
        try:
            installed = Installed(**json.loads(self._note.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        complete = os.path.exists(self.python) and os.path.isdir(self.source / "backend")
        return installed if complete else None

    def mark_installed(self, installed: Installed) -> None:
        """Record that the installation is complete; half a record counts as none."""
        self._note.write_text(json.dumps(asdict(installed), indent=1), "utf-8")

    def mark_incomplete(self) -> None:
        """Record that the contents must not be used."""
        self._note.unlink(missing_ok=True)


def entered_folder(entered: str, default: Path) -> BackendFolder:
    """The folder that the user entered; ``default`` if nothing or the same was entered."""
    root = Path(os.path.normpath(os.path.expanduser(entered.strip() or default)))
    return BackendFolder(default) if root == default else BackendFolder(root, entered.strip())


def with_retries(act: Callable[[], None]) -> None:
    """Retry a file operation for a while. Raises the last ``OSError``."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except OSError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.2)


def delete(path: Path) -> None:
    """Delete a file or a folder, with retries; no effect if it does not exist. Raises ``OSError``."""
    with_retries(lambda: shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True))


def folder_bytes(root: Path) -> int:
    """Total bytes of all files below ``root``; files that vanish meanwhile are skipped."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class FolderState:
    """State of a backend folder.

    Attributes
    ----------
    installed : the complete installation, or None.
    has_contents : see ``BackendFolder``.
    problem : why no backend can be installed there, or None.
    answers : False if the drive does not respond.
    """

    folder: BackendFolder
    installed: Installed | None = None
    has_contents: bool = False
    problem: AddonError | None = None
    answers: bool = True


def inspect_folder(folder: BackendFolder) -> FolderState:
    """Inspect a folder; slow on a slow drive."""
    return FolderState(folder, folder.installed(), folder.has_contents, folder_problem(folder))


def without_answer(folder: BackendFolder) -> FolderState:
    """The state of a folder on a drive that does not respond."""
    problem = AddonError(
        f"The folder {folder.root} does not answer.",
        "Connect its drive, or choose another Backend Folder in the extension's preferences.",
        "folder",
    )
    return FolderState(folder, problem=problem, answers=False)


def folder_problem(folder: BackendFolder) -> AddonError | None:
    """Why no backend can be installed there, checked without writing; None if nothing is wrong."""
    if not folder.is_absolute_path:
        sentence = f"The folder {folder.entered} is not a whole path."
    else:
        try:
            foreign = folder.foreign_files()
        except OSError as error:
            return _unusable(f"The folder {folder.root} cannot be read ({error.strerror or error}).")
        if not foreign:
            return None
        named = foreign[0] if len(foreign) == 1 else f"{foreign[0]} and {len(foreign) - 1} more"
        sentence = f"The folder {folder.root} holds other files already ({named})."
    return _unusable(sentence)


def removal_problem(folder: BackendFolder) -> AddonError | None:
    """Why nothing may be deleted there; None if it may."""
    if folder.is_owned_by_extension:
        return None
    return AddonError(f"What is in {folder.root} was not made by this extension.", "Nothing was deleted.", "folder")


def make_ready(folder: BackendFolder) -> None:
    """Create and mark the folder. Raises ``AddonError`` if nothing can be installed in it."""
    if (problem := folder_problem(folder)) is not None:
        raise problem
    try:
        folder.make()
    except OSError as error:
        raise _unusable(f"The folder {folder.root} cannot be written to ({error.strerror or error}).") from error


def check_room(folder: BackendFolder, needed: int) -> None:
    """Raise ``AddonError`` if the folder's disk has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder.root).free
    if free < needed:
        raise AddonError(
            f"The disk has {free / 1e9:.1f} GB left, the backend needs {needed / 1e9:.1f} GB.",
            f"Make room on the disk that holds {folder.root}, or choose a Backend Folder on another one.",
            "disk",
        )


def _unusable(sentence: str) -> AddonError:
    example = "C:\\Likeness" if WINDOWS else "~/likeness"
    return AddonError(
        sentence, f"Choose another Backend Folder in the extension's preferences, like {example}.", "folder"
    )


def lock_folder(config: Path, root: Path) -> FileLock:
    """Lock the backend folder ``root``; ``config`` is the user's configuration folder.

    Raises ``AddonError``: ``being_changed`` if another process holds the lock, ``config`` if it cannot be created.
    """
    whole = os.fsencode(os.path.normcase(os.path.realpath(root)))
    try:
        lock = lock_file(config / f"install-{hashlib.sha256(whole).hexdigest()[:16]}.lock", mode=0o600)
    except OSError as error:
        raise AddonError(
            f"The folder {config} cannot be written to ({error.strerror or error}).",
            "Check its permissions, and whether its disk is full.",
            "config",
        ) from error
    if lock is None:
        raise AddonError(
            f"Another Blender is installing or removing the backend in {root}.",
            "Wait until it has finished, and try again.",
            "being_changed",
        )
    return lock


DRAWING_SECONDS = 0.1
CLICK_SECONDS = 3.0
REUSE_SECONDS = 0.5
"""A result is drawn for this long before the next check. A check is a thread, for which the redraw waits some
milliseconds on a busy machine, and a slider that is dragged redraws up to 60 times a second."""
STALE_SECONDS = 2.0
"""While a new check runs, the last result is drawn for up to this long."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Looks(Generic[K, V]):
    """Results of ``look`` per place, found on threads: nothing waits long for a drive that does not respond. ``at`` is
    for one thread only, with at most one check per place at a time."""

    def __init__(self, look: Callable[[K], V]) -> None:
        self._look = look
        self._checks: dict[K, tuple[float, futures.Future[V]]] = {}
        self._last: dict[K, V] = {}

    def forget(self) -> None:
        """Reuse no result of a check that has begun by now: this program has just changed what it found."""
        self._checks = {}

    def at(self, key: K, drawing: bool = False) -> V | None:
        """The result for ``key``; None if the drive does not respond.

        Waits up to ``CLICK_SECONDS`` for the check. With ``drawing`` it waits at most ``DRAWING_SECONDS``, for the
        first look at a check, and accepts a recent result.
        """
        began, check = self._checks.get(key, (-math.inf, None))
        seconds = 0.0 if drawing else CLICK_SECONDS
        if check is None or (check.done() and not (drawing and time.monotonic() - began < REUSE_SECONDS)):
            self._checks[key] = began, check = time.monotonic(), _started(lambda: self._look(key))
            seconds = DRAWING_SECONDS if drawing else CLICK_SECONDS
        futures.wait([check], seconds)
        if check.done():
            self._last[key] = check.result()
        elif not (drawing and time.monotonic() - began < STALE_SECONDS):
            return None
        return self._last.get(key)


def _started(look: Callable[[], V]) -> futures.Future[V]:
    """A check on a thread of its own that does not keep the program from ending."""
    result: futures.Future[V] = futures.Future()
    threading.Thread(target=lambda: result.set_result(look()), name="likeness-look", daemon=True).start()
    return result
