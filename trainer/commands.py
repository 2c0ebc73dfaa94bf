"""The sub-commands of ``python -m trainer``, and what ``evaluate WHAT [--json FILE]`` measures. Their modules are
imported when they are asked for, because other ones may need packages that are not installed.
"""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("trainer.train_command", "train a recipe; the word may be left out"),
    "list": ("trainer.list_command", "the recipes, with what each trains and for how many steps"),
    "explain": ("trainer.list_command", "every key of a recipe, a stage or a source, with type and default"),
    "all": ("trainer.chain.run", "make every file of assets/, in order, or print how it is made"),
    "export": ("trainer.export", "write a run's model for the backend"),
    "evaluate": ("trainer.commands", "measure the backend's results: scans, likeness, parsing, ..."),
    "data": ("trainer.sets.prepare", "prepare photographs of people, or a data set of the papers: CelebA, MICC, ..."),
    "relabel-portraits": ("trainer.portraits.relabel", "label portraits with parsing nets, for training"),
    "landmark-errors": ("trainer.methods.landmarks.stage", "error model of the landmark net, for the fit"),
    "hair-kind": ("trainer.portraits.hair_kind", "reader of the hair's kind, from portraits labelled by eye"),
    "identity-population": ("trainer.heads.population", "mean and covariance of identity coefficients, for the fit"),
    "expressions": ("trainer.methods.expressions.learn", "train the expression reader, write assets/expressions"),
    "skin-prior": ("trainer.methods.skin_prior", "mean and modes of whole-head skin, for the texture"),
}
"""Sub-command -> module with ``add_arguments(parser)`` and ``run(arguments) -> int``, and a line of help."""
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


class LazyParser(argparse.ArgumentParser):
    """A parser that adds its module's options on first use."""

    module_name = ""
    """Empty once the options are added."""

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the module's options, then parse as the base class does."""
        if self.module_name:
            importlib.import_module(self.module_name).add_arguments(self)
            self.module_name = ""
        return super().parse_known_args(args, namespace)


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, tuple[str, str]], dest: str
) -> list[argparse.ArgumentParser]:
    """Add a sub-command for each of ``commands``, name -> (module with ``add_arguments(parser)``, line of help).

    The chosen name is stored in the arguments' ``dest``. Returns the sub-commands' parsers.
    """
    subparsers = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper(), parser_class=LazyParser)
    added = []
    for name, (module_name, line) in commands.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        subparser.module_name = module_name
        added.append(subparser)
    return added


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate``: a sub-command for each of ``EVALUATIONS``."""
    for subparser in add_commands(parser, EVALUATIONS, "what"):
        subparser.add_argument("--json", type=Path, help="write the figures as one flat JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print a table; returns the exit code."""
    from rich.console import Console

    console = Console()
    evaluation = importlib.import_module(EVALUATIONS[arguments.what][0])
    figures = evaluation.run(arguments, console)
    from trainer.measures.harness import table_of, write_figures

    if figures and not getattr(evaluation, "PRINTED", False):
        console.print(table_of(figures, f"evaluate {arguments.what}"))
    if arguments.json:
        write_figures(arguments.json, figures)
    return 0
