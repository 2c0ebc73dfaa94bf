"""Memory and processor time of running processes (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def resident_mb(process: int, peak: bool = False) -> float:
    """Resident memory of a running process in MB, or its peak so far (``peak``); 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    key = "VmHWM" if peak else "VmRSS"
    return next((int(line.split()[1]) / 1024.0 for line in lines if line.startswith(key)), 0.0)


def processor_seconds(process: int) -> float:
    """Processor time of a running process so far, in seconds; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Repeated measurement of processes."""

    def __init__(self, most_mb: float) -> None:
        self._most_mb = most_mb
        self.peak_mb = 0.0
        """Peak memory of the largest process so far."""
        self.above: set[int] = set()
        """Ids of the processes that exceeded ``most_mb``."""

    def look(self, process: int) -> float:
        """Return the processor seconds of a process and its children so far; also update the peak memory."""
        try:
            children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        except OSError:
            return 0.0
        every = [process, *map(int, children)]
        sizes = {one: resident_mb(one, peak=True) for one in every}
        self.peak_mb = max(self.peak_mb, *sizes.values())
        self.above |= {one for one, size in sizes.items() if size > self._most_mb}
        return sum(processor_seconds(one) for one in every)
