"""Memory of a running process (Linux)."""

from __future__ import annotations

from pathlib import Path


def resident_mb(process: int, peak: bool = False) -> float:
    """Resident memory of a running process in MB, or the largest so far (``peak``); 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    key = "VmHWM" if peak else "VmRSS"
    return next((int(line.split()[1]) / 1024.0 for line in lines if line.startswith(key)), 0.0)
