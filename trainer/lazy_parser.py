"""Commands whose modules are imported when they are asked for: the others may need packages that are not installed."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence


class LazyParser(argparse.ArgumentParser):
    """Asks its module for options when it is used."""

    module_name = ""
    """Empty once its options are there."""

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the base class does, with the module's options."""
        if self.module_name:
            importlib.import_module(self.module_name).add_arguments(self)
            self.module_name = ""
        return super().parse_known_args(args, namespace)


def add_commands(
    parser: argparse.ArgumentParser, commands: Mapping[str, tuple[str, str]], dest: str
) -> list[argparse.ArgumentParser]:
    """Adds a sub-command for each of ``commands``, name -> (module with ``add_arguments(parser)``, line of help).

    The arguments' ``dest`` is the name that was given. Returns the sub-commands' parsers.
    """
    subparsers = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper(), parser_class=LazyParser)
    added = []
    for name, (module_name, line) in commands.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        subparser.module_name = module_name
        added.append(subparser)
    return added
