"""The recipes (``python -m trainer list``); every key of a stage, a source or a recipe (``trainer explain NAME``)."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator

from trainer.engine import recipe as recipe_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer list`` and ``explain``."""
    parser.add_argument(
        "name", nargs="?", help="explain all keys of this kind of stage or source (lap, people), or of this recipe's"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes, or the keys of one name; returns the exit code. Raises ``RecipeError`` for an unknown name."""
    if not arguments.name:
        for name in recipe_files.known_recipes():
            recipe = recipe_files.load_recipe(recipe_files.find_recipe(name))
            stages = ", ".join(f"{recipe_files.stage_name(stage)} {stage.steps:,}" for stage in recipe.stages)
            print(f"{name}\n    {recipe.about}\n    steps: {stages}")
        return 0
    for cls in dict.fromkeys(_classes(arguments.name)):
        print("\n".join(explained(cls)), end="\n\n")
    return 0


def explained(cls: type, inset: str = "") -> Iterator[str]:
    """Lines of text on a configuration: its sentence, then each key with type, default and docstring, tables under
    theirs."""
    yield f"{inset}{inspect.getdoc(cls)}".replace("\n", f"\n{inset}")
    texts, hints = _docstrings(cls), typing.get_type_hints(cls)
    for one in dataclasses.fields(cls):
        default = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
        table = dataclasses.is_dataclass(default)
        typed = hints[one.name].__name__ if isinstance(hints[one.name], type) else str(hints[one.name])
        value = (
            "needed" if default is dataclasses.MISSING else "a table" if table else f"{recipe_files.encode(default)!r}"
        )
        sentence = f"{texts.get(one.name, '')} [{typed.replace('typing.', '')}; {value}]".lstrip()
        yield textwrap.fill(
            f"{one.name} : {sentence}", 118, initial_indent=f"{inset}  ", subsequent_indent=f"{inset}      "
        )
        if table and not hasattr(default, "family"):
            yield from explained(type(default), f"{inset}    ")


def _docstrings(cls: type) -> dict[str, str]:
    """Field -> the string below it, of a class and its bases."""
    texts: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, reversed(cls.__mro__)):
        (body,) = (node.body for node in ast.parse(textwrap.dedent(inspect.getsource(base))).body)
        for field, below in itertools.pairwise(body):
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
                texts[field.target.id] = " ".join(text.split())
    return texts


def _classes(name: str) -> Iterator[type]:
    families = [family for family, kinds in recipe_files.KINDS.items() if name in kinds]
    if families:
        yield from (recipe_files.find_class(family, name) for family in families)
        return
    try:
        path = recipe_files.find_recipe(name)
    except recipe_files.RecipeError as error:
        kinds = ", ".join(sorted(kind for kinds in recipe_files.KINDS.values() for kind in kinds))
        advice = f"Kinds: {kinds}. {error.advice}"
        raise recipe_files.RecipeError(f"There is no kind and no recipe {name!r}.", advice) from error
    yield recipe_files.Recipe
    yield from _configurations(recipe_files.load_recipe(path))


def _configurations(value: object) -> Iterator[type]:
    """Classes with a ``kind``, wherever they stand in a recipe."""
    if dataclasses.is_dataclass(value):
        if hasattr(value, "family"):
            yield recipe_files.find_class(value.family, recipe_files.kind_of(value))
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    for item in value if isinstance(value, (list, tuple)) else ():
        yield from _configurations(item)
