"""Measure the backend's results: ``evaluate WHAT [--json FILE]``."""

import argparse
import importlib
from pathlib import Path

from rich.console import Console

from trainer.lazy_parser import add_commands

EVALUATIONS: dict[str, tuple[str, str]] = {
    "paper": ("trainer.sets.tables", "the papers' tables on their own sets, their rows beside ours"),
    "foreign": ("trainer.evaluate.foreign", "people and pictures from other sources: millimetres, and who is who"),
    "parsing": ("trainer.methods.parsing.evaluate", "classes of pixels of held-out people; a sheet of photographs"),
    "lap": ("trainer.methods.lap.evaluate", "LAP's depth by number of photos"),
    "basis": (
        "trainer.methods.learned_basis.evaluate",
        "the learned face model: its encoder, colours, pairs of photos",
    ),
    "likeness": ("trainer.evaluate.likeness", "face-embedding distance of neutral renders to a person's photos"),
    "single": ("trainer.evaluate.single", "heads from one photograph: smile, mouth, outline, drawn head, likeness"),
    "textures": ("trainer.evaluate.textures", "textures against a held-out photo"),
    "hair": ("trainer.evaluate.hair", "hair against a held-out photo"),
    "graph": (
        "trainer.methods.graph_face.evaluate",
        "the graph face model: its decoder beside a linear one, its encoder",
    ),
    "detail": ("trainer.methods.detail.evaluate", "wrinkles against known relief of synthetic people"),
    "expressions": ("trainer.methods.expressions.evaluate", "52 weights, head pose, jitter and blinks"),
}
"""What can be evaluated: name -> module with ``add_arguments(parser)`` and
``run(arguments, console) -> dict[str, float | str]``, and a line of help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per entry of ``EVALUATIONS``."""
    for subparser in add_commands(parser, EVALUATIONS, "what"):
        subparser.add_argument("--json", type=Path, help="write the figures as one flat JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table; returns the exit code."""
    console = Console()
    evaluation = importlib.import_module(EVALUATIONS[arguments.what][0])
    figures = evaluation.run(arguments, console)
    from trainer.measures.harness import table_of, write_figures

    if figures and not getattr(evaluation, "PRINTED", False):
        console.print(table_of(figures, f"evaluate {arguments.what}"))
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0
