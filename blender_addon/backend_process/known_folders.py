"""Remembers which folders were entered for a backend: what is left in one must not be lost from sight with its name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path


def remembered(note: Path) -> list[Path]:
    """The folders that the file ``note`` names, newest first."""
    try:
        return [Path(entry) for entry in json.loads(note.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def remember(note: Path, root: Path) -> None:
    """Put ``root`` in front of the folders in ``note``; where that cannot be written, nothing is remembered."""
    entries = dict.fromkeys(map(str, (root, *remembered(note))))
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(list(entries), indent=1), "utf-8")
