"""The options of a head as arguments of the command line, and as fields of manifests and messages.

Imports only the standard library, so that ``--help`` is fast and the doctor runs anywhere.
"""

import argparse
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from protocol.options import LONGEST_TEXT, OPTIONS, Option

FILE_DEFAULTS: Mapping[str, Any] = {"hair": "cards"}
"""Defaults where files are written: they hold hair as cards, of strands only the guides."""
_FEW = 4
"""Values of an option that ``--help`` lists as the argument's own."""


def option_struct(name: str, defaults: Mapping[str, Any], rename: Mapping[str, str] | None = None) -> Any:
    """A Struct with a field per option, checked while it is decoded; unknown fields are refused."""
    import msgspec  # imported here, so that the doctor runs where it is missing

    made = [(one.name, _decoded_type(one), defaults.get(one.name, one.default)) for one in OPTIONS.values()]
    return msgspec.defstruct(name, made, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=rename)


def _decoded_type(option: Option) -> Any:
    import msgspec

    if option.values:
        return Literal[option.names]
    if option.span is not None:
        return Annotated[float, msgspec.Meta(ge=option.span[0], le=option.span[1])]
    return Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)] if option.default == "" else type(option.default)


def options_of(settings: object) -> dict[str, Any]:
    """Name -> value of each option, from the attributes of a command's arguments, a manifest's person or a job."""
    return {name: getattr(settings, name) for name in OPTIONS}


def add_head_options(group: argparse._ActionsContainer) -> None:
    """Add an argument per option; the parsed arguments have the options' names."""
    for one in OPTIONS.values():
        default = FILE_DEFAULTS.get(one.name, one.default)
        doc = one.doc[0].lower() + one.doc[1:]
        if default is True:
            group.add_argument(f"--no-{one.word}", dest=one.name, action="store_false", help=f"do without {one.doc}")
        elif default is False:
            group.add_argument(f"--{one.word}", dest=one.name, action="store_true", help=doc)
        elif one.span is not None:
            span = f"{one.span[0]:g}..{one.span[1]:g}"
            text, kind = f"{doc} (default: {default})", number_within(*one.span)
            group.add_argument(f"--{one.word}", dest=one.name, type=kind, default=default, metavar=span, help=text)
        elif one.values:
            _add_choice(group, one, default, doc)
        else:
            name = "PHOTO" if one.name == "look" else "REGIONS"
            group.add_argument(f"--{one.word}", dest=one.name, default=default, metavar=name, help=doc)


def _add_choice(group: argparse._ActionsContainer, option: Option, default: Any, doc: str) -> None:
    few = len(option.values) <= _FEW
    text = f"{doc} (default: {default})" + ("" if few else f"; one of {', '.join(map(str, option.names))}")
    kind, metavar = type(default), None if few else "NAME"
    flag, names = f"--{option.word}", option.names
    group.add_argument(flag, dest=option.name, type=kind, choices=names, default=default, metavar=metavar, help=text)


def number_within(low: float, high: float) -> Callable[[str], float]:
    """What reads an argument as a number from ``low`` to ``high``."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return number
