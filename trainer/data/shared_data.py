"""Where the data beside the repository lies: face scans, MakeHuman's skins, photographs."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder() -> Path:
    """``$LIKENESS_SHARED``, else, also where that is empty, ``../shared``; it may be missing."""
    chosen = os.environ.get("LIKENESS_SHARED")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[2].parent / "shared"
