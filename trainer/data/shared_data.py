"""Location of the data beside the repository: face scans, MakeHuman's skins, photographs."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder() -> Path:
    """Return ``$LIKENESS_SHARED``, or ``../shared`` where that is unset or empty; the folder may be missing."""
    chosen = os.environ.get("LIKENESS_SHARED")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2].parent / "shared"
