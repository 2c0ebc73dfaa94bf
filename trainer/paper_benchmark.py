"""The papers' recipes on this machine: ``python -m trainer.paper_benchmark OUT [--minutes M]``.

For each recipe: seconds a step, data included, and memory from twenty steps; then M minutes of training, whose losses
are written to ``OUT/papers.json`` as curves. Two recipes of 4 minutes and their measurement fit into ten minutes of an
H100: ``python -m trainer.paper_benchmark "$OUT" --minutes 4 --device cuda``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from trainer.engine.distributed import choose_device
from trainer.engine.logs import read_log
from trainer.engine.loop import RunOptions, train
from trainer.engine.recipe import find_recipe, load_recipe
from trainer.engine.trainee import stage_cost

RECIPES = ("paper/lap_64", "paper/learned_basis")


def main() -> None:
    """Measure and train; print a line per recipe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=4.0, help="of training for each recipe")
    parser.add_argument("--steps", type=int, default=20, help="of the measurement")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    device, found = choose_device(arguments.device), {}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.recipes:
        recipe = load_recipe(find_recipe(name), [*arguments.overrides, "log_steps=10"])
        cost = stage_cost(recipe, 0, device, arguments.steps)
        run = arguments.out / name.replace("/", "_")
        train(recipe, RunOptions(run, minutes=arguments.minutes, device=arguments.device))
        rows = [row for row in read_log(run) if row["kind"] == "train"]
        found[name] = {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "step_seconds": cost.step_seconds,
            "data_seconds": cost.data_seconds,
            "peak_gib": cost.peak_bytes / 2**30,
            "start": cost.terms,
            "curve": [[row["run_step"], row["values"]] for row in rows],
        }
        (arguments.out / "papers.json").write_text(json.dumps(found, indent=1))
        steps = rows[-1]["run_step"] if rows else 0
        print(f"{name}: {cost.step_seconds:.3f} s a step, {cost.peak_bytes / 2**30:.1f} GiB, {steps} steps", flush=True)


if __name__ == "__main__":
    main()
