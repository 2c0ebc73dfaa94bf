"""``python -m backend transfer`` as a child process: pictures in, an expression file out."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from ..errors import AddonError
from .child import start_backend
from .python_finder import hidden_window

_STAGE = re.compile(r"^\s*[\d.]+ s  (.+)$")
_KEPT_LINES = 50


class PictureSolver:
    """Solves the expressions of one video, or of photos; look at ``stage`` and ``finished`` from time to time.

    Parameters
    ----------
    python : interpreter of the backend's environment. source : folder that holds the package ``backend``, or None.

    Raises
    ------
    AddonError : ``cannot_start`` where the operating system refuses to start it.
    """

    def __init__(self, python: Path, source: Path | None, pictures: Sequence[Path]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="likeness-")
        self.out = Path(self._folder.name) / "expression.json"
        self.stage = ""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        arguments = ["transfer", "--from", *map(str, pictures), "--out", str(self.out)]
        try:
            self._process = start_backend(python, source, arguments, subprocess.DEVNULL, hidden_window())
        except AddonError:
            self._folder.cleanup()
            raise
        self._reader = threading.Thread(target=self._read, name="likeness-pictures", daemon=True)
        self._reader.start()

    @property
    def finished(self) -> bool:
        """Whether the file is there. Raises ``AddonError`` with the backend's words where it failed."""
        code = self._process.poll()
        if code is None:
            return False
        self._reader.join(1.0)
        if code == 0 and self.out.is_file():
            return True
        said = [line for line in self._lines if line and not _STAGE.match(line)]
        sentence = said[-2] if len(said) > 1 else (said[-1] if said else f"The backend ended with code {code}.")
        raise AddonError(sentence, said[-1] if len(said) > 1 else "", "solver_failed")

    def stop(self) -> None:
        """End the process where it still runs, and remove its file."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(5)
        self._reader.join(1.0)
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip()
                self._lines.append(line)
                if found := _STAGE.match(line):
                    self.stage = found[1]
