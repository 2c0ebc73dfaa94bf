"""Catalogues of an asset library in ``blender_assets.cats.txt``, one per line: ``UUID:path:name``."""

from __future__ import annotations

import uuid
from pathlib import Path

FILE_NAME = "blender_assets.cats.txt"
HEADS = "Likeness/Heads"
_BEGINNING = "# This is an Asset Catalog Definition file for Blender.\n\nVERSION 1\n\n"


def heads_catalogue(folder: Path, usual: str) -> str:
    """Id of the heads' catalogue in a library folder; added with the id ``usual`` if missing.

    Existing lines stay. Raises ``OSError`` if the file cannot be read or written.
    """
    path = folder / FILE_NAME
    known = path.read_text("utf-8", errors="surrogateescape") if path.is_file() else ""
    for line in known.splitlines():
        number, _, rest = line.strip().partition(":")
        if rest.partition(":")[0] == HEADS and _is_id(number):
            return number
    before = known if known.strip() else _BEGINNING
    if not before.endswith("\n"):
        before += "\n"
    path.write_text(f"{before}{usual}:{HEADS}:{HEADS.replace('/', '-')}\n", "utf-8", errors="surrogateescape")
    return usual


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
