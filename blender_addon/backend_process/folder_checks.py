"""What would keep an installation from its folder, found before anything is downloaded."""

from __future__ import annotations

import shutil
import sys

from ..errors import AddonError
from .folders import BackendFolder

WINDOWS = sys.platform == "win32"


def folder_problem(folder: BackendFolder) -> AddonError | None:
    """Why no backend can be installed there, as far as one can tell without writing; None where nothing is wrong."""
    if not folder.is_whole:
        sentence = f"The folder {folder.entered} is not a whole path."
    elif WINDOWS and not str(folder.root).isascii():
        sentence = (
            f"MediaPipe, a part of the backend, cannot open files in {folder.root}: "
            "on Windows a path may have plain letters (A to Z) only."
        )
    elif foreign := folder.foreign_files():
        named = foreign[0] if len(foreign) == 1 else f"{foreign[0]} and {len(foreign) - 1} more"
        sentence = f"The folder {folder.root} holds other files already ({named})."
    else:
        return None
    return _unusable(sentence)


def make_ready(folder: BackendFolder) -> None:
    """Make the folder and mark it. Raises ``AddonError`` where nothing can be installed in it."""
    if (problem := folder_problem(folder)) is not None:
        raise problem
    try:
        folder.make()
    except OSError as error:
        raise _unusable(f"The folder {folder.root} cannot be written to ({error.strerror or error}).") from error


def check_room(folder: BackendFolder, needed: int) -> None:
    """Raises ``AddonError`` where the folder's disk has less than ``needed`` bytes left."""
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
