"""``python -m trainer RECIPE`` trains a recipe; ``python -m trainer COMMAND`` runs one of the other sub-commands."""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS: dict[str, str] = {
    "template": "trainer.template.command",  # bakes assets/template.safetensors
    "identity-population": "trainer.template.population",  # what faces are like, for the fit
    "expressions": "trainer.expressions.command",  # learns to read expressions, writes assets/expressions
    "train": "trainer.train_command",  # trains a recipe; the word may be left out
    "landmark-errors": "trainer.landmark_errors",  # how the landmark net errs, for the fit
    "export": "trainer.export",  # writes a run's model for the backend
    "evaluate": "trainer.evaluate.command",  # scans, likeness: figures of what the backend makes
    "demo-photos": "trainer.data.demo_person",  # photographs of a synthetic person, to try the product on
    "portraits": "trainer.data.portraits.prepare",  # real photographs, cropped and labelled once
    "relabel-portraits": "trainer.data.portraits.relabel",  # their labels, for the parsing net to learn from
    "label-portraits": "trainer.data.portraits.label_command",  # draws them to be looked at, keeps corrections
    "preview-data": "trainer.data.people.preview",  # contact sheets of synthetic people
    "pack": "trainer.pack",  # one archive that trains elsewhere with torch and numpy alone
}
"""Sub-command -> module with ``add_arguments(parser)`` and ``run(arguments) -> int``. One line each."""


def main(argv: list[str] | None = None) -> int:
    """Run the sub-command that ``argv`` names; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] not in COMMANDS and not argv[0].startswith("-"):
        argv.insert(0, "train")
    parser = argparse.ArgumentParser(prog="python -m trainer", description="Makes what the backend loads.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {}
    for name, module_name in COMMANDS.items():
        # only the asked-for module is imported: the others may need packages that are not installed
        wanted = name in argv[:1]
        module = importlib.import_module(module_name) if wanted else None
        subparser = subparsers.add_parser(name, help=(module.__doc__ or "").splitlines()[0] if module else module_name)
        if module is not None:
            module.add_arguments(subparser)
            modules[name] = module
    arguments = parser.parse_args(argv)
    return modules[arguments.command].run(arguments)


if __name__ == "__main__":
    sys.exit(main())
