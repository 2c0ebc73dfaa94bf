"""Halve and double each constant and measure all people again."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sensitivity.constants import Constant, scaled


@dataclass(frozen=True)
class Measured:
    """One person's ``figures``, NaN or absent where unknown, and what was ``made``, for the difference between runs."""

    figures: Mapping[str, float]
    made: Any


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes
    ----------
    constants : by name. shares : names of constants that are at most 1.
    measure : person, and the name of the constant that is changed ("" for none) -> figures.
    difference : two of ``Measured.made`` -> how far they differ, in ``unit``.
    felt : smallest change of a figure's mean that counts.
    after_base : called once the figures of the unchanged constants are known.
    """

    constants: Mapping[str, Constant]
    shares: Collection[str]
    measure: Callable[[Any, str], Measured]
    difference: Callable[[Any, Any], float]
    unit: str
    felt: float
    after_base: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Response:
    """Response to a constant: figure -> largest change of its mean, ``differs`` : largest difference of a person."""

    constant: str
    value: str
    changes: Mapping[str, float]
    differs: float

    def line(self, felt: float, unit: str) -> str:
        """One line of the report."""
        most = sorted(((abs(change), name) for name, change in self.changes.items() if abs(change) >= felt))[::-1]
        told = ", ".join(f"{name} {self.changes[name]:+.4f}" for _, name in most[:5]) or "nothing"
        return f"{self.constant} = {self.value}: {told}; {self.differs:.3f} {unit}"


def chosen(constants: Mapping[str, Constant], only: Sequence[str]) -> list[str]:
    """Names of the constants of ``only``: rooms, or single constants; all if it is empty."""
    if not only:
        return list(constants)
    found = [name for one in only for name in constants if name == one or name.startswith(f"{one}.")]
    return list(dict.fromkeys(found))


def responses(subject: Subject, people: Sequence[Any], names: Sequence[str], results: Path | None = None) -> None:
    """Print a line per constant of ``names``. results : JSON lines, to which each response is added as soon as it is
    known; constants that it already holds are only printed."""
    known = {} if results is None or not results.exists() else _read(results)
    for name in (name for name in names if name in known):
        print(known[name].line(subject.felt, subject.unit), flush=True)
    missing = [name for name in names if name not in known]
    if not missing:
        return
    base = [subject.measure(person, "") for person in people]
    subject.after_base()
    means = mean_figures([one.figures for one in base])
    print("  ".join(f"{name} {value:.4f}" for name, value in means.items()), flush=True)
    for name in missing:
        response = _response(subject, people, name, base)
        print(response.line(subject.felt, subject.unit), flush=True)
        if results is not None:
            with results.open("a") as file:
                print(json.dumps(vars(response)), file=file)


def mean_figures(people: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure's mean over the people who have it."""
    names = dict.fromkeys(name for figures in people for name in figures)
    values = {name: [figures[name] for figures in people if name in figures] for name in names}
    known = {name: [value for value in held if not np.isnan(value)] for name, held in values.items()}
    return {name: float(np.mean(held)) for name, held in known.items() if held}


def _response(subject: Subject, people: Sequence[Any], name: str, base: Sequence[Measured]) -> Response:
    constant, before = subject.constants[name], mean_figures([one.figures for one in base])
    changes, differs = dict.fromkeys(before, 0.0), 0.0
    for factor in (0.5, 2.0):
        value = scaled(constant.value, factor, 1.0 if name in subject.shares else np.inf)
        if value == constant.value:
            continue
        with constant.changed(value):
            now = [subject.measure(person, name) for person in people]
        after = mean_figures([one.figures for one in now])
        for figure in before.keys() & after.keys():
            change = after[figure] - before[figure]
            changes[figure] = change if abs(change) > abs(changes[figure]) else changes[figure]
        differs = max(differs, *(subject.difference(a.made, b.made) for a, b in zip(now, base, strict=True)))
    return Response(name, str(constant.value), changes, differs)


def _read(results: Path) -> dict[str, Response]:
    found = [Response(**json.loads(line)) for line in results.read_text().splitlines()]
    return {one.constant: one for one in found}
