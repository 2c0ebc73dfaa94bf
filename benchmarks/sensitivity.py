"""Which numbers set by hand are felt: python benchmarks/sensitivity.py WHAT PEOPLE [--only NAME ...] [--results FILE].

Each number of ``backend/texture`` (fields of its rooms' settings) or of ``backend/hair`` (constants of its modules) is
halved and doubled; people are measured again on a photo that was left out, by the figures of ``evaluate textures`` or
``evaluate hair``. A number of at most 1 stays at most 1, because many are shares. A line per number has the largest
changes of figures' means that are felt. ``--results`` keeps them as JSON lines, with which a stopped run goes on.
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from measure import benchmark_parser

from backend.fitting.fitted_face import FittedFace
from backend.geometry.template import load_template
from backend.photos.collection import PhotoFace
from trainer.evaluate import hair, textures
from trainer.evaluate.textures import beside_photo, fitted_person, without_photo
from trainer.measures.harness import means, people_folders

Value = float | int | tuple[float, ...]
ROOMS = ("unwrap.UNWRAPPING", "delighting.DELIGHTING", "blending.BLENDING", "skin_prior.SKIN_PRIOR", "parts.PARTS",
         "finishing.FINISHING")  # fmt: skip
"""Module of ``backend.texture`` and its settings."""
FELT = {"textures": 0.002, "hair": 0.003}
"""Smallest change that counts: log units, correlation or overlap. Seeds and JPEG change figures as much."""


@dataclass(frozen=True)
class Constant:
    """A field of frozen dataclasses or a name of modules, with the same number in all ``holders``."""

    holders: tuple[Any, ...]
    name: str

    @property
    def value(self) -> Value:
        """The number, or several."""
        return getattr(self.holders[0], self.name)

    @contextmanager
    def changed(self, value: Value) -> Iterator[None]:
        """Hold another value for a while."""
        before = self.value
        try:
            self._set(value)
            yield
        finally:
            self._set(before)

    def _set(self, value: Value) -> None:
        for holder in self.holders:
            (object.__setattr__ if is_dataclass(holder) else setattr)(holder, self.name, value)


def settings_constants(settings: Any, room: str) -> dict[str, Constant]:
    """``room.field`` -> constant, of a frozen dataclass and of those in it."""
    constants: dict[str, Constant] = {}
    for field in fields(settings):
        value, name = getattr(settings, field.name), f"{room}.{field.name}"
        if is_dataclass(value):
            constants |= settings_constants(value, name)
        elif isinstance(value, float | int | tuple):
            constants[name] = Constant((settings,), field.name)
    return constants


def module_constants(modules: Mapping[str, ModuleType]) -> dict[str, Constant]:
    """``module.NAME`` -> constant; a public one changes in every module that imports it."""
    held = {
        module: {name: value for name, value in vars(one).items() if name.isupper() and type(value) in (int, float)}
        for module, one in modules.items()
    }
    constants: dict[str, Constant] = {}
    for module, names in held.items():
        for name, value in names.items():
            same = [other for other in modules if held[other].get(name) == value]
            holders = [module] if name.startswith("_") else same
            if holders[0] == module:
                constants[f"{module}.{name}"] = Constant(tuple(modules[one] for one in holders), name)
    return constants


def scaled(value: Value, factor: float) -> Value:
    """The number, or each of several, times ``factor``; at most 1 stays at most 1, integers stay integers above 0."""
    if isinstance(value, tuple):
        return tuple(scaled(float(one), factor) for one in value)
    if isinstance(value, int):
        return max(1, round(factor * value))
    return min(factor * value, 1.0) if value <= 1 else factor * value


@dataclass(frozen=True)
class Person:
    """A fit, its faces, and the name of the photo that is left out."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    name: str


def person_of(photos: Sequence[Path]) -> Person:
    """Fit photos and choose the middle one, of two the first, to be left out."""
    person = fitted_person(photos, "fast", 3)
    return Person(person.fitted, person.faces, person.names[-2 if len(person.names) > 2 else 0])


def texture_measure(size: int) -> Callable[[Person], dict[str, float]]:
    """Figures of ``evaluate textures`` with ``size`` texels a side."""
    from backend.hair.fit_hair import fit_hair
    from backend.texture.albedo import build_albedo

    def measure(person: Person) -> dict[str, float]:
        template, split = load_template(), without_photo(person.fitted, person.faces, person.name)
        strands = fit_hair(template, split.others, split.other_faces).strands
        made = build_albedo(template, split.others, split.other_faces, size, strands)
        return textures.texture_figures(beside_photo(template, person.fitted, split.own, split.face, made)) or {}

    return measure


def hair_measure(person: Person) -> dict[str, float]:
    """Figures of ``evaluate hair``, but for the seconds."""
    figures = asdict(hair.held_out_hair(load_template(), person.fitted, person.faces, person.name).figures)
    return {name: value for name, value in figures.items() if name != "seconds" and not np.isnan(value)}


def constants_of(what: str) -> dict[str, Constant]:
    """All constants of ``textures`` or ``hair``."""
    if what == "hair":
        package = importlib.import_module("backend.hair")
        names = [one.name for one in pkgutil.iter_modules(package.__path__)]
        return module_constants({name: importlib.import_module(f"backend.hair.{name}") for name in names})
    constants: dict[str, Constant] = {}
    for room in ROOMS:
        module, _, name = room.partition(".")
        constants |= settings_constants(getattr(importlib.import_module(f"backend.texture.{module}"), name), module)
    return constants


def responses(
    constants: Mapping[str, Constant],
    measure: Callable[[Person], dict[str, float]],
    people: Sequence[Person],
    felt: float,
    results: Path | None = None,
) -> dict[str, dict[str, float]]:
    """Constant -> the largest change of each figure's mean of at least ``felt``; printed, and kept in ``results``."""
    known = [json.loads(line) for line in results.read_text().splitlines()] if results and results.exists() else []
    responses_by_name: dict[str, dict[str, float]] = {one["constant"]: one["changes"] for one in known}
    base = means([measure(person) for person in people])
    for name, constant in constants.items():
        if name not in responses_by_name:
            changes: dict[str, float] = {}
            for value in {scaled(constant.value, 0.5), scaled(constant.value, 2.0)} - {constant.value}:
                with constant.changed(value):
                    now = means([measure(person) for person in people])
                for figure in base.keys() & now.keys():
                    changes[figure] = max(changes.get(figure, 0.0), now[figure] - base[figure], key=abs)
            responses_by_name[name] = {figure: change for figure, change in changes.items() if abs(change) >= felt}
            if results:
                with results.open("a") as file:
                    print(json.dumps({"constant": name, "changes": responses_by_name[name]}), file=file)
        largest = sorted(responses_by_name[name].items(), key=lambda one: -abs(one[1]))[:5]
        summary = ", ".join(f"{figure} {change:+.4f}" for figure, change in largest)
        print(f"{name} = {constant.value}: {summary or 'nothing'}", flush=True)
    return responses_by_name


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("what", choices=FELT)
    parser.add_argument("people", type=Path, help="a folder with a folder of photos per person")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rooms, modules or single numbers")
    parser.add_argument("--most-photos", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="texels a side of the textures")
    parser.add_argument("--results", type=Path, help="JSON lines to continue and add to")
    arguments = parser.parse_args()
    chosen = {
        name: constant
        for name, constant in constants_of(arguments.what).items()
        if not arguments.only or any(f"{name}.".startswith(f"{one}.") for one in arguments.only)
    }
    people = [person_of(photos[: arguments.most_photos]) for photos in people_folders(arguments.people).values()]
    measure = hair_measure if arguments.what == "hair" else texture_measure(arguments.size)
    changes = responses(chosen, measure, people, FELT[arguments.what], arguments.results)
    if arguments.json:
        arguments.json.write_text(json.dumps(changes, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
