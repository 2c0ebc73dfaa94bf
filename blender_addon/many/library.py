"""The other Blender that makes assets of heads' files."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import bpy

from ..backend_process.python_finder import hidden_window
from . import library_process


class LibraryProcess:
    """Heads' files into one library, or each into an asset with a picture, beside this Blender.

    Parameters
    ----------
    files : .blend files with a head each, named like the head.
    library : the file that shall have all of them; None to mark and picture them where they are.
    catalogue : id of the catalogue that they are put in.

    Raises ``OSError`` where no process can be started.
    """

    def __init__(self, files: Sequence[Path], library: Path | None, catalogue: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="likeness-", ignore_cleanup_errors=True)
        self._library, self._stopped = library, False
        place = Path(self._folder.name)
        job = place / "job.json"
        wanted = {"files": [str(path) for path in files], "library": library and str(library), "catalogue": catalogue}
        job.write_text(json.dumps(wanted), "utf-8")
        script = library_process.__file__
        command = [sys.executable, "-P", script, str(job)]
        if bpy.app.binary_path:  # none where Blender is a module of Python's
            options = ["--background", "--factory-startup", "--python-exit-code", "1"]
            command = [bpy.app.binary_path, *options, "--python", script, "--", str(job)]
        with open(place / "log.txt", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **hidden_window()
            )

    def stop(self) -> None:
        """End it; files that it has not written yet stay as they were."""
        self._stopped = True
        self._process.kill()

    def ended(self) -> str | None:
        """None while it works; then what went wrong in a sentence, "" for nothing."""
        if self._process.poll() is None:
            return None
        place = Path(self._folder.name)
        try:
            failed = json.loads((place / "reply.json").read_text("utf-8"))
        except (OSError, ValueError):
            failed = None
        log = place / "log.txt"
        last = log.read_text("utf-8", errors="replace").strip().splitlines()[-1:] if failed is None else []
        self._folder.cleanup()
        what = "The assets' pictures" if self._library is None else self._library.name
        if self._stopped:
            return f"{what} could not be written: it was stopped."
        if failed is None:
            return f"{what} could not be written ({last[0] if last else 'no reason was given'})."
        if failed:
            file, why = next(iter(failed.items()))
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            return f"{Path(file).name}{more} could not be made an asset ({why})."
        return ""
