"""Time until the first photo is looked at, from cold: python benchmarks/startup.py [--json FILE].

``--help``, and from the start of ``reconstruct`` to its first progress on a photo. The peer is what no code of ours can
avoid: an interpreter that loads torch and MediaPipe, in turn with the others. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.data.demo_person import write_demo_photos

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5
MOST_HELP_SECONDS, MOST_FIRST_PHOTO_SECONDS = 0.3, 2.5
"""Budgets on two CPU cores."""


def seconds_of(*command: str) -> float:
    """Wall seconds that a Python process takes from start to end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def seconds_to_first_photo(photo: Path, out: Path) -> float:
    """Wall seconds from the start of ``reconstruct`` to its first line of progress; it is ended then."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "backend", "reconstruct", str(photo), "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        seconds = time.perf_counter() - start
        process.terminate()
        process.stderr.read()
    if "photos" not in line:
        raise RuntimeError(f"reconstruct began with: {line.strip()}")
    return seconds


def main() -> int:
    """Print the figures, and write them where ``--json`` says; exit code 1 when a budget is overrun."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    arguments = parser.parse_args()
    rounds: dict[str, list[float]] = {"help": [], "first_photo": [], "libraries": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (photo,) = write_demo_photos(folder, count=1)
        for _ in range(RUNS):
            rounds["help"].append(seconds_of("-m", "backend", "--help"))
            rounds["first_photo"].append(seconds_to_first_photo(photo, folder / "head"))
            rounds["libraries"].append(seconds_of("-c", "import torch, mediapipe"))
    figures = {f"seconds.{name}": statistics.median(seconds) for name, seconds in rounds.items()}
    figures["first_photo_over_libraries"] = figures["seconds.first_photo"] / figures["seconds.libraries"]
    for key, value in figures.items():
        print(f"{key:28} {value:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({key: round(value, 4) for key, value in figures.items()}, indent=1) + "\n")
    help_kept = figures["seconds.help"] <= MOST_HELP_SECONDS
    within = help_kept and figures["seconds.first_photo"] <= MOST_FIRST_PHOTO_SECONDS
    print(f"budget: {MOST_HELP_SECONDS} s and {MOST_FIRST_PHOTO_SECONDS} s: {'kept' if within else 'overrun'}")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
