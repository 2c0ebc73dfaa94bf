"""Measure the backend's results: ``evaluate WHAT [--json FILE]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from backend.errors import EXIT_CODES, LikenessError
from trainer.lazy_parser import add_commands

EVALUATIONS: dict[str, tuple[str, str]] = {
    "scans": ("trainer.evaluate.scans", "held-out 3D faces, rendered as photographs, in millimetres"),
    "foreign": (
        "trainer.evaluate.foreign",
        "people and pictures from other sources: millimetres, and recognition by shape alone",
    ),
    "reprojection": ("trainer.evaluate.reprojection", "landmarks of a held-out photo against the others' head"),
    "parsing": (
        "trainer.methods.parsing.evaluate",
        "classes of pixels of held-out synthetic people; a sheet of photographs",
    ),
    "lap": (
        "trainer.methods.lap.evaluate",
        "LAP's depth on held-out synthetic people, by number of photos; a sheet of portraits",
    ),
    "basis": (
        "trainer.methods.learned_basis.evaluate",
        "the learned face model: bases against the prior, the encoder alone",
    ),
    "likeness": ("trainer.evaluate.likeness", "face-embedding distance of neutral renders to a person's photos"),
    "textures": ("trainer.evaluate.textures", "textures against a held-out photo"),
    "hair": ("trainer.evaluate.hair", "hair against a held-out photo"),
    "graph": (
        "trainer.methods.graph_face.evaluate",
        "the graph face model: its decoder against a linear one, its encoder",
    ),
    "detail": ("trainer.methods.detail.evaluate", "wrinkles against known relief of synthetic people"),
    "expressions": (
        "trainer.methods.expressions.evaluate",
        "52 weights, head pose, jitter and blinks estimated from pictures",
    ),
}
"""What can be evaluated: name -> module with ``add_arguments(parser)`` and
``run(arguments, console) -> dict[str, float | str]``, and a line of help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per entry of ``EVALUATIONS``."""
    for subparser in add_commands(parser, EVALUATIONS, "what"):
        subparser.add_argument("--json", type=Path, help="write the figures as one flat JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table; returns exit code 0, or that of the ``LikenessError`` whose sentence was printed."""
    console = Console()
    try:
        figures = importlib.import_module(EVALUATIONS[arguments.what][0]).run(arguments, console)
    except LikenessError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        return EXIT_CODES[error.code]
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0


def write_figures(path: Path, figures: Mapping[str, float | str]) -> None:
    """Write flat JSON, name -> number (or a word, such as "not trained"), atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        rounded = {k: v if isinstance(v, str) else round(float(v), 5) for k, v in figures.items()}
        json.dump(rounded, file, indent=1)
        file.write("\n")
    os.chmod(name, 0o644)
    os.replace(name, path)
