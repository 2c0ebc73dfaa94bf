"""Where networks compute."""

from __future__ import annotations

import torch


def computing_device(wanted: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``: the GPU where there is one, unless "cpu" is asked."""
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
