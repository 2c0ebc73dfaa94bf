"""Command line of ``benchmarks.sensitivity``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep (docs/decisions)

SUBJECTS = ("texture", "photos", "hair")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensitivity", description="sensitivity to constants")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--photos", type=int, default=4, help="photos of each person (default 4)")
    parser.add_argument("--size", type=int, default=256, help="edge of the textures (default 256)")
    parser.add_argument("--only", nargs="+", default=[], help="these rooms, or constants (room.NAME), alone")
    parser.add_argument("--results", type=Path, help="file of JSON lines, so that a stopped run can go on")
    arguments = parser.parse_args()
    from benchmarks.sensitivity.frame import chosen, responses
    from trainer.evaluate.likeness import people_folders

    module = importlib.import_module(f"benchmarks.sensitivity.{arguments.subject}")
    subject = module.subject(arguments.size)
    names = chosen(subject.constants, arguments.only)
    if not names:
        parser.error(f"no constant is called {' or '.join(arguments.only)}")
    people = [module.person_of(photos, arguments.photos) for photos in people_folders(arguments.people).values()]
    responses(subject, people, names, arguments.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
