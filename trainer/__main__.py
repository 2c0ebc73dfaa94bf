"""``python -m trainer RECIPE`` trains a recipe; ``python -m trainer COMMAND`` runs one of the other sub-commands."""

import argparse
import importlib
import sys

from backend.errors import EXIT_CODES, LikenessError, run_until_pipe_closes
from trainer.commands import COMMANDS, add_commands


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
