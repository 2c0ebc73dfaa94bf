"""Choice of the device on which networks run."""

from __future__ import annotations

import torch


def computing_device(wanted: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``: the GPU if there is one, unless ``wanted`` is "cpu"."""
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
