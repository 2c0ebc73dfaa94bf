"""The folder of the installed backend: the extension's own, or one that the user entered in the preferences."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

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
    def _note_part(self) -> Path:
        return self.root / "installed.part"

    @property
    def _mark(self) -> Path:
        return self.root / "likeness_backend.txt"

    @property
    def made(self) -> tuple[Path, ...]:
        """Everything that the extension creates in the folder, in the order of deletion."""
        large = (self.environment, self.source, self.source_part)
        return (*large, self.install_log, self._note, self._note_part, self._mark)

    @property
    def is_whole(self) -> bool:
        """Whether the path is absolute; ``//`` is relative to the .blend file."""
        return not self.entered.startswith("//") and self.root.is_absolute()

    @property
    def is_ours(self) -> bool:
        """Whether ``made`` belongs to the extension: in a folder that the user entered, only beside its mark file."""
        return not self.entered or (self.is_whole and os.path.isfile(self._mark))

    @property
    def has_contents(self) -> bool:
        """Whether there is an installation, or leftovers of an interrupted installation or removal."""
        return self.is_ours and any(map(os.path.exists, (self.environment, self.source, self.source_part)))

    def foreign_files(self) -> list[str]:
        """Names of files of other programs, in a folder that is not the extension's own. Raises ``OSError``."""
        if self.is_ours:
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
        if not self.is_ours:
            return None
        try:
            note = json.loads(self._note.read_text("utf-8"))
            found = Installed(
                str(note["version"]),
                str(note["python"]),
                str(note["torch"]),
                bool(note["cuda"]),
                int(note["size_bytes"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        complete = os.path.exists(self.python) and os.path.isdir(self.source / "backend")
        return found if complete else None

    def mark_installed(self, installed: Installed) -> None:
        """Record that the installation is complete."""
        self._note_part.write_text(json.dumps(asdict(installed), indent=1), "utf-8")
        os.replace(self._note_part, self._note)

    def mark_incomplete(self) -> None:
        """Record that the contents must not be used."""
        self._note.unlink(missing_ok=True)


def entered_folder(entered: str, own: Path) -> BackendFolder:
    """The folder that the user entered; ``own`` if nothing or the same was entered."""
    root = Path(os.path.normpath(os.path.expanduser(entered.strip() or own)))
    return BackendFolder(own) if root == own else BackendFolder(root, entered.strip())


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

    def act() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    with_retries(act)


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
