"""The chain at toy size: recipes with a few steps on a few pictures, and portraits of synthetic people.

It tests that every command runs and finds the previous one's results. The resulting nets are useless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from trainer.chain.table import TOY_STEPS
from trainer.engine.recipe import encode, find_recipe, load_recipe
from trainer.people.source import PeopleConfig
from trainer.portraits.collection import read_hand_labels
from trainer.portraits.relabel import read_traits

LIMITS = {
    "steps": TOY_STEPS,
    "batch": 2,
    "validation_samples": 2,
    "validate_steps": TOY_STEPS,
    "log_steps": 1,
    "count": 8,
    "keep": 8,
    "processes": 1,
    "first": 4,
    "people": 8,
    "basis_people": 16,
    "reference_people": 4,
    "start_people": 16,
    "start_shapes": 16,
    "identity": 8,
    "expression": 8,
    "depth_components": 8,
    "albedo_components": 8,
}
"""Largest value of each field of a recipe, wherever it occurs."""
PORTRAIT_SIDE = 256
"""Pixels, the smallest size at which the face detector finds all of them."""
PORTRAITS_PER_TRAIT = 2
"""Portraits per answer on a list, because the classifiers need more than one of each."""


def toy_overrides(recipe: str, steps: int = TOY_STEPS) -> list[str]:
    """``--set`` words that cut ``recipe`` down to ``LIMITS``, its stages to ``steps``; zeros, which mean "endless",
    stay."""
    table = encode(load_recipe(find_recipe(recipe)))
    limits = LIMITS | {"steps": steps, "validate_steps": steps}
    return [word for path in _too_large(table, "", limits) for word in ("--set", path)]


def _too_large(value: Any, path: str, limits: Mapping[str, int]) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            if type(item) is int and item > limits.get(key, item):
                yield f"{place}={limits[key]}"
            yield from _too_large(item, place, limits)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _too_large(item, f"{path}.{number}", limits)


def portrait_names() -> list[str]:
    """Names from every list that the chain reads: some of each answer, and some with hand-made labels."""
    names = _first_of_each({name: ("hair", seen.facial_hair) for name, seen in read_traits().items()})
    names += _first_of_each({name: ("worn", seen.glasses) for name, seen in read_traits().items()})
    names += _first_of_each({name: ("by hand", one.held_out) for name, one in read_hand_labels().items()})
    return sorted(set(names))


def _first_of_each(answers: Mapping[str, tuple[str, object]]) -> list[str]:
    chosen: dict[tuple[str, object], list[str]] = {}
    for name in sorted(answers):
        chosen.setdefault(answers[name], []).append(name)
    return [name for names in chosen.values() for name in names[:PORTRAITS_PER_TRAIT]]


def draw_portraits(folder: Path) -> int:
    """Write a picture of a different synthetic person under each of ``portrait_names``; returns their number.

    Existing pictures stay. The answers on the lists do not apply to these people.
    """
    names = portrait_names()
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).is_file() for name in names):
        return len(names)
    people = PeopleConfig(size=PORTRAIT_SIDE, seed=7).build()
    for number, name in enumerate(names):
        picture = people.batch(range(number, number + 1), torch.device("cpu")).images[0]
        pixels = (picture.permute(1, 2, 0).numpy()[..., ::-1] * 255.0 + 0.5).astype(np.uint8)
        cv2.imwrite(str(folder / name), np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 95])
    return len(names)
