"""Run the whole chain that makes ``assets/`` at toy size: python benchmarks/train_all.py [--json FILE] [--work FOLDER].

Every command of every step runs on a few synthetic people, from nothing, in a new folder. This tests that each command
finds the previous one's results, and gives each step's minimum time: seconds per step, mostly for starting and
rendering people. Steps whose data is missing, or that have no toy size, are left out. Exit code 1 where a step failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.errors import LikenessError
from trainer.chain.run import ChainState, Places, read_state, run_steps
from trainer.chain.table import STEPS


def seconds_per_step(state: ChainState) -> dict[str, float]:
    """Flat figures of the finished steps."""
    figures = {f"seconds.{step}": state.seconds(step) for step in state.steps}
    return {**figures, "seconds.all": sum(figures.values()), "steps": float(len(figures))}


def main() -> int:
    """Run the chain, print and write the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--work", type=Path, help="empty folder to work in, kept; default: a temporary one")
    given = parser.parse_args()
    code = 0
    with tempfile.TemporaryDirectory() as scratch:
        work = (given.work or Path(scratch)).resolve()
        try:
            run_steps(
                STEPS, Places(work, work / "assets", work / "portraits"), True, lambda line: print(line, flush=True)
            )
        except LikenessError as error:
            print(f"{error.sentence} {error.advice}", file=sys.stderr)
            code = 1
        figures = seconds_per_step(read_state(work))
    for name, value in figures.items():
        print(f"{name}: {value:.0f}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
