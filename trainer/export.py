"""Write a run's model for the backend: ``python -m trainer export RUN [--out DIR]``, weights and model card."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from backend.models import checkpoints as model_files
from backend.system.files import ASSETS
from trainer.engine.checkpoint import Checkpoint, CheckpointFolder, read_checkpoint
from trainer.engine.logs import clock_text, read_log, read_sessions
from trainer.engine.loop import RECIPE_FILE
from trainer.engine.recipe import Recipe, RecipeError, kind_of, load_recipe, recipe_to_toml, stage_name

CARD = "README.md"


@dataclass(frozen=True)
class Export:
    """Result of ``export_run``."""

    folder: Path
    path: Path
    version: str
    card: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer export``."""
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--out", type=Path, help="folder to write to; default: assets/<model>")
    parser.add_argument(
        "--bits", type=int, choices=(8, 16), default=16, help="of a large weight: float16, or int8 by channel"
    )
    parser.add_argument("--licence", default="CC0-1.0", help="licence of the weights, for the model card")


def run(arguments: argparse.Namespace) -> int:
    """Export the model; returns the exit code."""
    done = export_run(arguments.run, arguments.out, arguments.licence, bits=arguments.bits)
    print(f"{done.path.stat().st_size / 1e6:.2f} MB, version {done.version}: {done.folder}")
    return 0


def export_run(
    run_folder: Path, out: Path | None = None, licence: str = "CC0-1.0", bits: Literal[8, 16] = 16
) -> Export:
    """Export the model of a run's last stage: its best weights where the recipe selects them, else the latest.

    With 8 ``bits``, large weights are int8 unless the stage lists them as sensitive.

    Raises
    ------
    RecipeError : there is no run, its last stage has not begun or gives no model, or a weight overflows float16.
    """
    recipe_path = run_folder / RECIPE_FILE
    if not recipe_path.is_file():
        raise RecipeError(f"There is no training run in {run_folder}.", "Give the folder that has recipe.toml.")
    recipe = load_recipe(recipe_path)
    checkpoint = _choose_checkpoint(run_folder, recipe)
    stage = recipe.stages[-1].build(torch.device("cpu"))
    stage.modules.load_state_dict(checkpoint.weights)
    stage.modules.eval()
    model = stage.export()
    if model is None:
        raise RecipeError(f"Stage {stage_name(recipe.stages[-1])!r} gives no model to the backend.")
    try:
        tensors = (
            model_files.eight_bit_precision(model.tensors, model.sensitive)
            if bits == 8
            else model_files.half_precision(model.tensors)
        )
    except ValueError as error:
        raise RecipeError(f"The model cannot be exported: {error}.") from error
    version = model_files.fingerprint(tensors)
    folder = ASSETS / model.model if out is None else out
    sessions = read_sessions(run_folder)
    limits = tuple(sorted({name for row in sessions for name in row.get("research_only", ())}))
    if limits:
        licence = f"research only, because of the data it was trained on: {'; '.join(limits)}"
    weights = model_files.ModelWeights(model.model, model.config, tensors, version, limits)
    path = model_files.save_model(weights, folder)
    card = folder / CARD
    exported = {tensor.data_ptr() for tensor in model.tensors.values()}
    learnt = [parameter for parameter in stage.modules.parameters() if parameter.requires_grad]
    count = sum(parameter.numel() for parameter in learnt if parameter.data_ptr() in exported)
    stored = "float16" if bits == 16 else "the large ones int8 with a step per channel, the rest float16"
    facts = [
        f"# {model.model}, version {version}\n\n{model.summary}\n",
        f"- Licence: {licence}",
        f"- Weights: {count:,}, {stored}, {path.stat().st_size / 1e6:.2f} MB",
        f"- Limits: {model.limits}",
    ]
    lines = [*facts, *_training(recipe, checkpoint, read_log(run_folder), sessions)]
    card.write_text("\n".join(lines), encoding="utf-8")
    return Export(folder, path, version, card)


def _choose_checkpoint(run_folder: Path, recipe: Recipe) -> Checkpoint:
    """Load the best weights of the last stage, or its latest."""
    folder = CheckpointFolder(run_folder / "checkpoints")
    last = len(recipe.stages) - 1
    if recipe.stages[last].select and folder.best_path(last).is_file():
        return read_checkpoint(folder.best_path(last))
    latest = folder.latest()
    if latest is None or latest.state.stage != last:
        raise RecipeError(f"The last stage of {run_folder} has no checkpoint yet.", "Train on with --resume.")
    return latest


def _training(
    recipe: Recipe, checkpoint: Checkpoint, log: Sequence[Mapping[str, Any]], sessions: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """The model card's lines on a run, as Markdown; every figure in them comes from the run's own files."""
    step = checkpoint.state.step
    average = " (moving average)" if checkpoint.average else ""
    yield f"- Recipe: `{recipe.name}`. {recipe.about}".rstrip()
    yield f"- Weights are those after step {step} of the last stage{average}\n\n## Held-out figures\n"
    yield from _figures(log, stage_name(recipe.stages[-1]), step)
    yield "\n## Training\n"
    yield from _stage_table(recipe, log)
    yield ""
    yield from (f"- {row['started'][:10]}: on {row['device']}, torch {row['torch']}" for row in sessions)
    yield f"\n## Recipe\n\n```toml\n{recipe_to_toml(recipe).rstrip()}\n```\n"


def _figures(log: Sequence[Mapping[str, Any]], stage: str, step: int) -> list[str]:
    """Table of the measurement at the exported step, or a sentence that there is none."""
    rows = [row for row in log if row["kind"] == "validation" and row["name"] == stage and row["step"] == step]
    if not rows:
        return ["These weights were not measured on held-out data."]
    table = ["| figure | value |", "|---|---|"]
    return table + [f"| {name} | {_number(value)} |" for name, value in rows[-1]["values"].items()]


def _stage_table(recipe: Recipe, log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Table of each stage's data, steps and time, from the log."""
    table = ["| stage | data | steps | samples | training time |", "|---|---|---|---|---|"]
    for stage in recipe.stages:
        name = stage_name(stage)
        rows = [row for row in log if row["name"] == name]
        last = rows[-1] if rows else {"step": 0, "samples": 0, "seconds": 0.0}
        spent = clock_text(last["seconds"])
        table.append(f"| {name} | {kind_of(stage.source)} | {last['step']:,} | {last['samples']:,} | {spent} |")
    return table


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
