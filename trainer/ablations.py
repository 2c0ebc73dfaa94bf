"""Train a recipe and each of its ablations equally long: ``python -m trainer ablations RECIPE --out FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainer.engine.recipe import WHOLE, Recipe, RecipeError, find_recipe, load_recipe
from trainer.train_command import add_overrides

RUNS = Path("runs")
MODEL = "model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer ablations``."""
    parser.description = (
        "Train a recipe as it is and once for each line of its table [ablations], the same steps, and export every "
        f"model to OUT/NAME/SEED/{MODEL}. What is there already is left alone; what was stopped goes on."
    )
    parser.add_argument("recipe", help="a recipe with a table [ablations], for example lap_cpu_ablations")
    parser.add_argument("--out", type=Path, help="folder of all runs; default: runs/<recipe's name>")
    add_overrides(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="train each with these seeds (default 1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"these alone; the recipe is {WHOLE!r}")
    parser.add_argument("--init-from", type=Path, help="weights that all start from: a checkpoint or an exported model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")


def run(arguments: argparse.Namespace) -> int:
    """Train the recipe and its ablations; returns the exit code."""
    path = find_recipe(arguments.recipe)
    recipe = load_recipe(path)
    for name, seed in _wanted(recipe, arguments):
        changes = [*arguments.overrides, *recipe.ablations.get(name, ()), f"seed={seed}"]
        folder = (arguments.out or RUNS / arguments.recipe) / name / str(seed)
        if not (folder / MODEL).is_dir():
            print(f"{name}: {', '.join(changes)}", flush=True)
            if not _train(load_recipe(path, changes), folder, arguments.init_from, arguments.device):
                return 0  # stopped with a checkpoint
    return 0


def trained_models(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Folders of the exported models under ``--out``, by name, in the order of their seeds."""
    paths = sorted(folder.glob(f"*/*/{MODEL}"), key=lambda path: (path.parts[-3], path.parts[-2]))
    return {name: tuple(path for path in paths if path.parts[-3] == name) for name in {p.parts[-3] for p in paths}}


def _wanted(recipe: Recipe, arguments: argparse.Namespace) -> list[tuple[str, int]]:
    known = [WHOLE, *recipe.ablations]
    unknown = sorted(set(arguments.only) - set(known))
    if unknown or len(known) == 1:
        sentence = f"Recipe {recipe.name!r} has no ablation {unknown[0]!r}." if unknown else "It has no ablations."
        raise RecipeError(sentence, f"Known: {', '.join(known)}.")
    names = [name for name in known if name in arguments.only or not arguments.only]
    return [(name, seed) for seed in arguments.seeds for name in names]


def _train(recipe: Recipe, folder: Path, init_from: Path | None, device: str) -> bool:
    """Train and export one ablation; False where training was stopped early."""
    from trainer.engine.checkpoint import CheckpointFolder
    from trainer.engine.loop import RunOptions, train
    from trainer.export import export_run

    begun = CheckpointFolder(folder / "checkpoints").latest() is not None
    first = None if begun else init_from
    if not train(recipe, RunOptions(folder, resume=begun, init_from=first, device=device)).finished:
        return False
    export_run(folder, folder / MODEL)
    return True
