"""Which figures of ``evaluate hair`` feel the hair's numbers: benchmarks/hair_settings.py --people DIR.

Every number of ``backend/hair`` that the fit of the hair reads (``--only guides to_outlines._NEAR``: of one module, one
number) is halved and doubled, shares at most to 1. Of each person one photo is left out, the hair of the others is
made, and the figures are taken beside the photo left out. Styles are searched once, and again for numbers of the search
alone. A line per number says by how much each figure's mean over the people moves at most, and how far strands move.

Numbers that previews, cards and Blender read alone (``draw``, ``cards``) move no figure: the eye judges these.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep (docs/decisions)

import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.hair.fit_hair import FoundHair, hair_of_style
from backend.hair.fit_style import FittedStyle, fit_style
from backend.hair.hair_views import hair_views
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoFace
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.hair import HairFigures, held_out_hair, mean_figures
from trainer.evaluate.held_out_photo import without_photo
from trainer.evaluate.left_out import left_out
from trainer.evaluate.likeness import people_folders

FITTED = ("guides", "to_outlines", "hair_views", "attach", "strand_colours", "fit_hair", "locks")
SEARCHED = ("fit_style", "style_model")
"""Modules of ``backend.hair`` whose numbers are tried: of those first the style stays as it was found."""
OTHERS = ("cards", "draw", "grow", "hair_line", "hair_strands", "hull", "styles")
"""Modules that may hold a number of those by its name, too."""
SHARES = ("_COMBED", "_EDGE", "_MEET", "_COVERED", "_ROPES", "_LEAST_SHADING")
"""Numbers that are at most 1."""
FELT = 0.003
"""Overlap, share or log units: a figure that moves by less says nothing."""
TOLD = ("overlap", "seen_overlap", "missed", "beside", "face_hidden", "found", "in_skull", "brightness", "contrast",
        "redder", "bluer")  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A fit, its faces, the photo left out and the style that the others have."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    left_out: str
    style: FittedStyle


def person_of(photos: tuple[Path, ...], most: int) -> Person:
    """Fit at most ``most`` photos, leave out the middle one and search the style of the others."""
    collection = collect([PhotoSource.from_path(path) for path in photos[:most]])
    fitted = fit_with(collection, fit_options_for("standard"), open_models())
    number = left_out(len(fitted.photos), 3)[-2] if len(fitted.photos) > 2 else 0
    return searched(fitted, collection.faces, fitted.photos[number].name)


def searched(fitted: FittedFace, faces: tuple[PhotoFace, ...], name: str) -> Person:
    """The person with the style that all photos but the one called ``name`` have."""
    split = without_photo(fitted, faces, name)
    views = hair_views(load_template(), split.others, split.other_faces)
    return Person(fitted, faces, name, fit_style(load_template(), fitted.neutral, views))


def modules() -> dict[str, ModuleType]:
    """Name -> module of ``backend.hair``."""
    return {name: importlib.import_module(f"backend.hair.{name}") for name in (*FITTED, *SEARCHED, *OTHERS)}


def numbers(module: ModuleType) -> dict[str, float | int]:
    """The numbers of a module by name, those that it made itself and those that it has from another module."""
    held = vars(module).items()
    return {name: value for name, value in held if name.isupper() and type(value) in (int, float)}


@contextmanager
def changed(room: str, name: str, value: float | int) -> Iterator[None]:
    """While it lasts a module's number is another, there and in every module that has it from there.

    Compiled functions keep theirs.
    """
    before = getattr(modules()[room], name)
    sharing = [module for module in modules().values() if numbers(module).get(name) == before]
    holding = [modules()[room]] if name.startswith("_") else sharing
    for module in holding:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module in holding:
            setattr(module, name, before)


def measured(people: list[Person], again: bool) -> tuple[HairFigures, list[np.ndarray | None]]:
    """The mean figures, and the middle lines of each person's guides; ``again`` : with their styles searched again."""
    figures, lines = [], []
    for one in people:
        person = searched(one.fitted, one.faces, one.left_out) if again else one
        made: list[FoundHair] = []

        def fit(template, fitted, faces, style=person.style, made=made) -> FoundHair:
            made.append(hair_of_style(template, fitted, faces, hair_views(template, fitted, faces), style))
            return made[-1]

        figures.append(held_out_hair(load_template(), one.fitted, one.faces, one.left_out, fit).figures)
        lines.append(None if made[0].strands is None else made[0].strands.points)
    return mean_figures(figures), lines


def moved_by(before: list[np.ndarray | None], after: list[np.ndarray | None]) -> float:
    """Millimetres from the strands' points to the nearest of the strands before, mean over people with both."""
    both = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    ways = [cKDTree(a.reshape(-1, 3)).query(b.reshape(-1, 3))[0].mean() for a, b in both]
    return 1000.0 * float(np.mean(ways)) if ways else float("nan")


def main() -> int:
    """Print a line per number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--photos", type=int, default=4, help="photos of each person (default 4)")
    parser.add_argument("--only", nargs="+", default=[*FITTED, *SEARCHED], help="modules, or numbers (module.NAME)")
    arguments = parser.parse_args()
    report(
        [person_of(photos, arguments.photos) for photos in people_folders(arguments.people).values()], arguments.only
    )
    return 0


def report(people: list[Person], only: list[str]) -> None:
    """Print a line per number of ``only``, modules or numbers."""
    base, lines = measured(people, again=False)
    print("  ".join(f"{name} {getattr(base, name):.4f}" for name in TOLD), flush=True)
    every = [(room, name, value) for room in (*FITTED, *SEARCHED) for name, value in numbers(modules()[room]).items()]
    for room, name, value in every:
        if room not in only and f"{room}.{name}" not in only:
            continue
        moved: dict[str, float] = {}
        way = 0.0
        for factor in (0.5, 2.0):
            other = min(factor * value, 1.0) if name in SHARES else factor * value
            with changed(room, name, max(1, round(other)) if isinstance(value, int) else other):
                figures, made = measured(people, room in SEARCHED)
            for told in TOLD:
                off = getattr(figures, told) - getattr(base, told)
                if abs(off) > abs(moved.get(told, 0.0)):
                    moved[told] = off
            way = max(way, moved_by(lines, made))
        felt = sorted(((abs(off), told, off) for told, off in moved.items() if abs(off) >= FELT), reverse=True)
        what = ", ".join(f"{told} {off:+.3f}" for _, told, off in felt[:5]) or "nothing"
        print(f"{room}.{name} = {value}: {what}; strands move by {way:.2f} mm", flush=True)


if __name__ == "__main__":
    sys.exit(main())
