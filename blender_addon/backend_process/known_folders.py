"""List of folders entered for a backend, kept so that leftovers in them are still found after the preference
changes."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path


def remembered(note: Path) -> list[Path]:
    """Folders listed in the file ``note``, newest first."""
    try:
        return [Path(entry) for entry in json.loads(note.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def remember(note: Path, root: Path) -> None:
    """Put ``root`` first in the list ``note``; ignored if the file cannot be written."""
    entries = dict.fromkeys(map(str, (root, *remembered(note))))
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(list(entries), indent=1), "utf-8")
