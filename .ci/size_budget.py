"""Fail when the tracked files exceed their size budget, because code and weights are distributed together."""

import subprocess
import sys
from pathlib import Path

BUDGET_MIB = 58


def tracked_mib(root: Path) -> float:
    """MiB of all files that git tracks in ``root``, by their sizes on disk."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True).stdout
    paths = (root / name.decode() for name in names.split(b"\0") if name)
    return sum(path.lstat().st_size for path in paths if path.exists()) / 2**20


if __name__ == "__main__":
    used = tracked_mib(Path(__file__).resolve().parents[1])
    print(f"tracked files: {used:.1f} MiB of {BUDGET_MIB}")
    sys.exit(used > BUDGET_MIB)
