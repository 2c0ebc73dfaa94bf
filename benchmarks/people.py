"""Synthetic people per second, with all labels: python benchmarks/people.py [--json FILE].

Batches of 32 people at 64, 128 and 256 px; the aims on two CPU cores are 150, 60 and 15 per second. Figures are the
best of all rounds: ``people.SIZE.per_second``, and ``people.SIZE.parsing_per_second`` for only pictures and label maps.
"""

from __future__ import annotations

import time

from measure import benchmark_parser, report

import torch  # isort: skip

from trainer.people.source import PeopleConfig

SIZES = (64, 128, 256)


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
    """Print the figures and write them to ``--json``."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
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
        figures[f"people.{size}.per_second"] = every
        figures[f"people.{size}.parsing_per_second"] = parsing
    return report(figures, arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
