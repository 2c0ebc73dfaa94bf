"""A second Blender process that turns head files into assets."""

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
    """Collect head files into one library, or mark each as an asset with a preview, in a second Blender process.

    Parameters
    ----------
    files : .blend files with one head each, named like the head.
    library : the file to collect them in; None to mark them in place.
    catalogue : id of their asset catalogue.

    Raises ``OSError`` if no process can be started.
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
        if bpy.app.binary_path:  # empty when Blender is a Python module
            options = ["--background", "--factory-startup", "--python-exit-code", "1"]
            command = [bpy.app.binary_path, *options, "--python", script, "--", str(job)]
        with open(place / "log.txt", "wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **hidden_window()
            )

    def stop(self) -> None:
        """Stop the process; files not written yet stay as they were."""
        self._stopped = True
        self._process.kill()

    def ended(self) -> str | None:
        """None while it runs; then a sentence about what went wrong, "" for nothing."""
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
