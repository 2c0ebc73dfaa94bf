"""The recipes (``python -m trainer list``); every key of a stage, a source or a recipe (``trainer explain NAME``)."""

import argparse
import dataclasses
import inspect
from collections.abc import Iterator

from trainer.engine import recipe as recipe_files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m trainer list`` and ``explain``."""
    parser.add_argument(
        "name", nargs="?", help="explain all keys of a kind of stage or source (lap, people), or recipe"
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
        print("\n".join(explained(cls)))
    return 0


def explained(cls: type) -> Iterator[str]:
    """The source of a configuration and of its bases and tables: every key with type, default and meaning."""
    for base in filter(dataclasses.is_dataclass, reversed(cls.__mro__)):
        yield inspect.getsource(base)
    for field in dataclasses.fields(cls):
        table = field.default_factory
        if dataclasses.is_dataclass(table) and not hasattr(table, "family"):
            yield from explained(table)


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
