"""Inspect a backend folder, and find what would prevent an installation before anything is downloaded."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import AddonError
from .folder_lock import FOLDER_BUSY, being_changed, is_being_changed
from .folders import BackendFolder, Installed

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

    @property
    def being_changed(self) -> bool:
        """Whether a process is installing into the folder or removing its contents."""
        return self.problem is not None and self.problem.code == FOLDER_BUSY


def inspect_folder(folder: BackendFolder, config: Path) -> FolderState:
    """Inspect a folder; slow on a slow drive. ``config`` is the user's configuration folder."""
    problem = being_changed(folder.root) if is_being_changed(config, folder.root) else folder_problem(folder)
    return FolderState(folder, folder.installed(), folder.has_contents, problem)


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
    if not folder.is_whole:
        sentence = f"The folder {folder.entered} is not a whole path."
    elif WINDOWS and not str(folder.root).isascii():
        sentence = (
            f"MediaPipe, a part of the backend, cannot open files in {folder.root}: "
            "on Windows a path may have plain letters (A to Z) only."
        )
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
    if folder.is_ours:
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
