"""Find a Python 3.11 to 3.14 that can create the backend's environment."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AddonError

PREFERRED_PYTHONS = ((3, 13), (3, 12), (3, 14), (3, 11))
_PROBE = "import sys, struct, venv, ensurepip; print(*sys.version_info[:3], struct.calcsize('P') * 8, sys.executable)"
_SAID = re.compile(r"(?P<major>\d+) (?P<minor>\d+) (?P<micro>\d+) 64 (?P<path>.+)")
_UNREADABLE = "\ufffd"
"""Replacement character for bytes that are not UTF-8: a path with it is unusable."""
_SECONDS = 15


@dataclass(frozen=True)
class FoundPython:
    """A tested interpreter: its path and version."""

    path: Path
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """For labels: ``Python 3.12.1``."""
        return "Python " + ".".join(str(part) for part in self.version)


def clean_environment() -> dict[str, str]:
    """This process's environment without the variables that point a child Python to Blender's own Python."""
    dropped = {"PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def hidden_window() -> dict[str, int]:
    """Arguments for ``subprocess`` that keep Windows from opening a console."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


def of_child(**environment: str) -> dict[str, Any]:
    """Arguments for ``subprocess``: no input, text in UTF-8, no console, and not Blender's own Python."""
    variables = clean_environment() | environment
    text = {"text": True, "encoding": "utf-8", "errors": "replace"}
    return {"stdin": subprocess.DEVNULL, "env": variables, **text, **hidden_window()}


def probe(command: Sequence[str]) -> FoundPython | None:
    """Run an interpreter and read its version; None if it does not run, lacks ``venv``, or is 32-bit."""
    try:
        probing = [*command, "-X", "utf8", "-I", "-c", _PROBE]
        done = subprocess.run(probing, capture_output=True, timeout=_SECONDS, **of_child())
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = _SAID.fullmatch((done.stdout or "").strip())
    if done.returncode != 0 or said is None or _UNREADABLE in said["path"]:
        return None
    return FoundPython(Path(said["path"]), (int(said["major"]), int(said["minor"]), int(said["micro"])))


def candidates() -> Iterator[list[str]]:
    """Commands that may be a suitable Python; the first is the Python that Blender runs."""
    yield [sys.executable]
    for major, minor in PREFERRED_PYTHONS:
        yield from ([f"python{major}.{minor}"], ["py", f"-{major}.{minor}"])  # the second is Windows'


def find_python(named: str = "", commands: Iterable[Sequence[str]] | None = None) -> FoundPython:
    """The Python named by the user in ``named``, else the first suitable one among ``commands`` (``candidates()``).

    Raises
    ------
    AddonError : code ``no_python``, with what to install or enter.
    """
    wanted = " to ".join(f"{major}.{minor}" for major, minor in (min(PREFERRED_PYTHONS), max(PREFERRED_PYTHONS)))
    if named.strip():
        python = probe([os.path.expanduser(named.strip())])
        if python is None:
            raise AddonError(
                f"{named} is not a Python that can make an environment.",
                f"Choose the program of a 64-bit Python {wanted}, or leave the field empty.",
                "no_python",
            )
        if python.version[:2] not in PREFERRED_PYTHONS:
            raise AddonError(f"{named} is {python.text}.", f"The backend needs Python {wanted}.", "no_python")
        return python
    for command in dict.fromkeys(map(tuple, candidates() if commands is None else commands)):
        python = probe(command)
        if python is not None and python.version[:2] in PREFERRED_PYTHONS:
            return python
    raise AddonError(
        f"No Python {wanted} was found on this computer.",
        "Install Python {}.{} from python.org, or enter its program in the field Python.".format(*PREFERRED_PYTHONS[0]),
        "no_python",
    )
