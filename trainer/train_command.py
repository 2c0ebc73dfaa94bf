"""Train a recipe: ``python -m trainer RECIPE [--set key=value] [--minutes M] [--resume | --init-from FILE]``."""

import argparse
import errno
from pathlib import Path

from backend.errors import LikenessError
from trainer.engine.recipe import WHOLE, RecipeError, find_recipe, load_recipe, recipe_to_toml

RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer RECIPE``."""
    parser.description = "Train a recipe, stage after stage. A run can end at any time and go on with --resume."
    parser.epilog = (
        "In the run's folder: recipe.toml, log.jsonl (losses, held-out figures), curves.png, checkpoints/. "
        "Then: python -m trainer export FOLDER."
    )
    parser.add_argument("recipe", help="a name that `python -m trainer list` shows, or a .toml file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a value of the recipe: seed=2, network.size=64, stages.shape.steps=100, stages.0.source.seed=3",
    )
    parser.add_argument("--ablation", default=WHOLE, metavar="NAME", help="a line of the recipe's table [ablations]")
    parser.add_argument("--minutes", type=float, default=0.0, help="end after M minutes, for --resume")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/<recipe's name>")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on exactly where the latest checkpoint is")
    start.add_argument("--init-from", type=Path, metavar="FILE", help="start with the weights of a checkpoint or model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    parser.add_argument(
        "--dry-run",
        type=int,
        nargs="?",
        const=2,
        default=0,
        metavar="STEPS",
        help="take STEPS small steps of each stage and print time, memory and terms",
    )
    parser.add_argument("--print", action="store_true", help="print the whole recipe as TOML and end")


def ablation(path: Path, name: str) -> tuple[str, ...]:
    """The changes of a recipe's ablation, none for ``WHOLE``; raises ``RecipeError`` for an unknown name."""
    known = {WHOLE: (), **load_recipe(path).ablations}
    if name not in known:
        raise RecipeError(f"The recipe has no ablation {name!r}.", f"Known: {', '.join(known)}.")
    return known[name]


def run(arguments: argparse.Namespace) -> int:
    """Train; returns the exit code. Raises ``LikenessError`` for everything that the user can fix."""
    from torch import OutOfMemoryError

    from trainer.engine.loop import RECIPE_FILE, RunOptions, train

    try:
        path = find_recipe(arguments.recipe)
        changes = [*arguments.overrides, *ablation(path, arguments.ablation)]
        recipe = load_recipe(path, changes)
        folder = arguments.out or RUNS / recipe.name
        saved = folder / RECIPE_FILE
        if arguments.resume and saved.is_file():
            # use the run's own recipe, because the original may have changed
            recipe = load_recipe(saved, changes)
        if arguments.print:
            print(recipe_to_toml(recipe), end="")
            return 0
        if arguments.dry_run:
            from trainer.engine.trainee import dry_run

            for line in dry_run(recipe, arguments.device, arguments.dry_run):
                print(line, flush=True)
            return 0
        options = RunOptions(folder, arguments.minutes, arguments.resume, arguments.init_from, arguments.device)
        train(recipe, options)
        return 0
    except OutOfMemoryError as error:
        advice = "Use a smaller --set stages.NAME.batch with a larger accumulate."
        raise LikenessError("out_of_memory", "The device's memory is too small for a step.", advice) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        advice = "Free some space and go on with --resume; the checkpoint before is whole."
        raise LikenessError("disk", f"The disk is full ({error.filename or 'no name'}).", advice) from error
