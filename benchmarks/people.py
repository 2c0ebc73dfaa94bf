"""Synthetic people per second, with all labels: python benchmarks/people.py [--json FILE].

Batches of 32 people at 64, 128 and 256 px; the aims on two CPU cores are 150, 60 and 15 per second. Figures are the
best of all rounds: ``people.SIZE.per_second``, and ``people.SIZE.parsing_per_second`` for only pictures and label maps.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep (docs/decisions)

import torch

from trainer.people.source import PeopleConfig

TARGET_RATES = {64: 150, 128: 60, 256: 15}
"""People per second on two cores, all labels."""


def per_second(config: PeopleConfig, count: int, rounds: int, device: torch.device) -> float:
    """People per second in the best of several rounds of ``count``."""
    source = config.build()
    source.batch(range(4), device)
    best = float("inf")
    for turn in range(rounds):
        start = time.perf_counter()
        batch = source.batch(range(turn * count, (turn + 1) * count), device)
        batch.images.sum().item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return count / best


def main() -> int:
    """Print a line per size and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures as flat JSON")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(TARGET_RATES))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    figures: dict[str, float] = {}
    for size in arguments.sizes:
        every = per_second(PeopleConfig(size=size, depth=True, albedo=True), arguments.batch, arguments.rounds, device)
        parsing = per_second(PeopleConfig(size=size), arguments.batch, arguments.rounds, device)
        figures[f"people.{size}.per_second"] = round(every, 2)
        figures[f"people.{size}.parsing_per_second"] = round(parsing, 2)
        aim = f", aim on two cores {TARGET_RATES[size]}" if size in TARGET_RATES else ""
        print(f"{size:4} px: all labels {every:7.1f} people/s, labels for parsing {parsing:7.1f}{aim}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
