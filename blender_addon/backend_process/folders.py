"""Where the extension keeps its backend: one folder, given by Blender, that survives updates of the extension."""

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
"""So long is tried again what the system refuses: Windows holds on to files of programs that are just ending."""


@dataclass(frozen=True)
class Installed:
    """What the last installation that went through to its end left behind.

    Attributes
    ----------
    version : of the backend. python : text for labels. torch : its version. cuda : whether it can use an NVIDIA card.
    size_bytes : of everything in the folder.
    """

    version: str
    python: str
    torch: str
    cuda: bool
    size_bytes: int


@dataclass(frozen=True)
class BackendFolder:
    """The folder and the places in it."""

    root: Path

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
    def holds_something(self) -> bool:
        """Whether there is an installation or what an interrupted one, or an interrupted removal, left of it."""
        return self.environment.exists() or self.source.exists()

    @property
    def install_log(self) -> Path:
        """Everything that the last installation said."""
        return self.root / "install.log"

    @property
    def server_log(self) -> Path:
        """What the server that was started last logged."""
        return self.root / "server.log"

    @property
    def _note(self) -> Path:
        return self.root / "installed.json"

    def installed(self) -> Installed | None:
        """What is installed and complete, or None."""
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
        return found if self.python.exists() and (self.source / "backend").is_dir() else None

    def mark_installed(self, installed: Installed) -> None:
        """Say that an installation is complete."""
        part = self._note.with_suffix(".part")
        part.write_text(json.dumps(asdict(installed), indent=1), "utf-8")
        os.replace(part, self._note)

    def mark_incomplete(self) -> None:
        """Say that what is there must not be used."""
        self._note.unlink(missing_ok=True)


def patiently(act: Callable[[], None]) -> None:
    """Do something to files, if need be again and again. Raises the ``OSError`` that is left after a while."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except OSError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.2)


def delete(path: Path) -> None:
    """Delete a file or a folder, patiently; nothing where there is none. Raises ``OSError``."""

    def act() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    patiently(act)


def folder_bytes(root: Path) -> int:
    """Bytes of all files below ``root``; what vanishes meanwhile counts as nothing."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total
