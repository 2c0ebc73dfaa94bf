"""Starts ``python -m backend`` as a child process."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ..errors import AddonError
from .python_finder import clean_environment


def start_backend(
    python: Path,
    source: Path | None,
    arguments: Sequence[str],
    stdout: int,
    stderr: BinaryIO,
    flags: Mapping[str, int],
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """The running backend, in a session of its own: what ends Blender with its terminal is no signal for it.

    Parameters
    ----------
    python : interpreter of the backend's environment. source : folder that holds the package ``backend``, or None.
    stdout, stderr : as in ``subprocess``. flags : further arguments for ``subprocess``. variables : of the environment.

    Raises
    ------
    AddonError : ``cannot_start`` where the operating system refuses to start it.
    """
    environment = clean_environment() | {"PYTHONUNBUFFERED": "1"} | dict(variables or {})
    if source is not None:
        environment["PYTHONPATH"] = str(source)
    try:
        return subprocess.Popen(
            [str(python), "-P", "-m", "backend", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            env=environment,
            cwd=str(source) if source is not None else None,
            **flags,
        )
    except OSError as error:
        raise AddonError(
            f"The backend could not be started ({error.strerror or error}).",
            "Choose Repair in the extension's preferences.",
            "cannot_start",
        ) from error
