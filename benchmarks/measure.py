"""What the benchmarks share: memory of processes (Linux), and figures that are printed, written and compared with
budgets."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = tuple(sorted((ROOT / "assets" / "demo").glob("*.jpg")))
"""Photos of a person who does not exist."""
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep (docs/decisions)


def benchmark_parser(docstring: str) -> argparse.ArgumentParser:
    """Parser with the option ``--json``; its description is a script's docstring."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    return parser


def report(figures: Mapping[str, float], path: Path | None, budgets: Mapping[str, float] | None = None) -> int:
    """Print the figures and write them to ``path``; 1 where one is above its budget, else 0."""
    for key, value in figures.items():
        print(f"{key:36} {value:12.4f}")
    if path:
        path.write_text(json.dumps({key: round(float(value), 5) for key, value in figures.items()}, indent=1) + "\n")
    overrun = [f"{name} (at most {most:g})" for name, most in (budgets or {}).items() if figures.get(name, 0) > most]
    if budgets:
        print(f"budgets: {'overrun: ' + ', '.join(overrun) if overrun else 'kept'}")
    return int(bool(overrun))
