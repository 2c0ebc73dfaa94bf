"""Redraws per second of Blender's window with and without relief: ``python benchmarks/viewport.py --tool T --suite S``.

The tool and the suite are those of ``tests/window/drive.py``, which runs the story ``viewport``: the same head three
times, with relief, as made without relief (with generated pores), and with bare skin; keys move before each redraw, in
Material Preview and in Solid, alternating. Prints medians and rates as JSON; exit code 1 where the rate is below 0.9 of
the rate without relief.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST_RATE = 0.9
"""Least rate relative to the rate without relief."""
MODES = ("material", "solid")


def main() -> int:
    """Measure in a window, print the figures and check the rate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", type=Path, required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--head", type=Path, help="message.npz of tests/window/wrinkled_head.py (default: made here)")
    parser.add_argument("--out", type=Path, help="folder that keeps pictures and figures")
    parser.add_argument("--size", default="900x700")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        extra, out = Path(temporary) / "extra", given.out or Path(temporary) / "out"
        extra.mkdir()
        if given.head:
            (extra / "message.npz").write_bytes(given.head.read_bytes())
        else:
            make = [sys.executable, "tests/window/wrinkled_head.py", str(extra / "message.npz")]
            subprocess.run(make, cwd=ROOT, check=True)
        drive = [sys.executable, "tests/window/drive.py", "--tool", str(given.tool), "--suite", given.suite]
        drive += ["--out", str(out), "--extra", str(extra), "--story", "viewport", "--size", given.size]
        code = subprocess.run([*drive, "--patience", "6"], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
        figures = json.loads((out / "figures.json").read_text()) if (out / "figures.json").exists() else {}
    shown = {name: value for name, value in figures.items() if name.startswith(MODES) or name in ("blender", "failed")}
    print(json.dumps(shown, indent=1))
    rates = [figures.get(f"{mode}.rate_of_without.processor", 0.0) for mode in MODES]
    return code or int(min(rates) < LEAST_RATE)


if __name__ == "__main__":
    sys.exit(main())
