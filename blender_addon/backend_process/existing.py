"""Check whether a manually installed backend looks usable, by its files alone; nothing is started."""

from __future__ import annotations

import os
import sys

USABLE = "The program is there; the first click shows whether the backend runs in it."
NOTHING_ENTERED = "Enter the Python program of the environment that the backend is installed in."
_PLACES = (("bin", "python"), ("bin", "python3"), ("Scripts", "python.exe"), ("python.exe",))
"""Paths of the Python interpreter inside an environment."""


def problem_of(place: tuple[str, str]) -> str:
    """Describe in one sentence what is wrong with (Python program, source folder or ""); "" if it looks usable."""
    python, source = place
    if os.path.isdir(python):
        return _of_folder(python)
    if not os.path.isfile(python):
        return "The existing backend's Python was not found."
    if not (python.lower().endswith(".exe") if sys.platform == "win32" else os.access(python, os.X_OK)):
        return f"{os.path.basename(python)} is not a program."
    if source and not os.path.isdir(source):
        return "The folder that Source names was not found."
    if source and not os.path.isfile(os.path.join(source, "backend", "__init__.py")):
        return "The folder that Source names does not hold the package backend."
    return ""


def _of_folder(folder: str) -> str:
    programs = [os.path.join(folder, *place) for place in _PLACES]
    found = next(filter(os.path.isfile, programs), None)
    return f"Python names a folder, without a Python in it: {folder}." if found is None else f"Enter {found} as Python."
