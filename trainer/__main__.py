"""``python -m trainer RECIPE`` trains a recipe; ``python -m trainer COMMAND`` runs one of the other sub-commands."""

import argparse
import importlib
import sys

from backend.errors import EXIT_CODES, LikenessError, run_until_pipe_closes
from trainer.lazy_parser import add_commands

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("trainer.train_command", "train a recipe; the word may be left out"),
    "list": ("trainer.list_command", "the recipes, with what each trains and for how many steps"),
    "explain": ("trainer.list_command", "every key of a recipe, a stage or a source, with type and default"),
    "all": ("trainer.chain.run", "make every file of assets/, in order, or print how it is made"),
    "export": ("trainer.export", "write a run's model for the backend"),
    "evaluate": ("trainer.evaluate.command", "measure the backend's results: scans, likeness, parsing, ..."),
    "data": ("trainer.sets.prepare", "prepare photographs of people, or a data set of the papers: CelebA, MICC, ..."),
    "relabel-portraits": ("trainer.portraits.relabel", "label portraits with parsing nets, for training"),
    "landmark-errors": ("trainer.methods.landmarks.stage", "error model of the landmark net, for the fit"),
    "hair-kind": ("trainer.portraits.hair_kind", "reader of the hair's kind, from portraits labelled by eye"),
    "identity-population": ("trainer.heads.population", "mean and covariance of identity coefficients, for the fit"),
    "expressions": ("trainer.methods.expressions.learn", "train the expression reader, write assets/expressions"),
    "typical-lines": ("trainer.methods.detail.relief", "lines of a moving face, for heads whose photos show none"),
    "skin-prior": ("trainer.methods.skin_prior", "mean and modes of whole-head skin, for the texture"),
}
"""Sub-command -> module with ``add_arguments(parser)`` and ``run(arguments) -> int``, and a line of help."""


def build_parser() -> argparse.ArgumentParser:
    """Parser of all sub-commands; a recipe's name needs the word ``train`` before it."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description="Make and measure the backend's files.")
    add_commands(parser, COMMANDS, "command")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the sub-command that ``argv`` names; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] not in COMMANDS and not argv[0].startswith("-"):
        argv.insert(0, "train")
    arguments = build_parser().parse_args(argv)
    try:
        run = importlib.import_module(COMMANDS[arguments.command][0]).run
        return run_until_pipe_closes(lambda: run(arguments))
    except LikenessError as error:
        print(f"{error.sentence} {error.advice}".strip(), file=sys.stderr)
        return EXIT_CODES[error.code]


if __name__ == "__main__":
    sys.exit(main())
