"""Commands whose modules are imported on use, because other commands may need packages that are not installed."""

import argparse
import importlib
from collections.abc import Mapping, Sequence


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
