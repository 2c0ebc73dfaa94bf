"""List the recipes: ``python -m trainer list``."""

from __future__ import annotations

import argparse

from trainer.engine.recipe import find_recipe, known_recipes, load_recipe, stage_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Print the recipes, each with its description and its stages; returns the exit code."""
    for name in known_recipes():
        recipe = load_recipe(find_recipe(name))
        stages = ", ".join(f"{stage_name(stage)} {stage.steps:,}" for stage in recipe.stages)
        print(f"{name}\n    {recipe.about}\n    steps: {stages}")
    return 0
