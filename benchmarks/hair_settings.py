"""Sensitivity of ``evaluate hair`` to the hair's constants: benchmarks/hair_settings.py --people DIR.

Every constant of ``backend/hair`` that the hair fit reads is halved and doubled; shares stay at most 1. ``--only guides
to_outlines._NEAR`` selects modules or single constants. One photo of each person is held out, the hair is fitted to
the others, and the figures are measured on the held-out photo. The style is searched once, and searched again only for
constants of the search. A line per constant gives the largest change of each figure's mean over people, and how far the
strands move.

Constants that only previews, cards and Blender read (``draw``, ``cards``) change no figure and are judged by eye.
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
"""Modules of ``backend.hair`` whose constants are varied. For those of ``FITTED`` the style found before is kept."""
OTHERS = ("cards", "draw", "grow", "hair_line", "hair_strands", "hull", "styles")
"""Other modules that may import these constants by name."""
SHARES = ("_COMBED", "_EDGE", "_MEET", "_COVERED", "_ROPES", "_LEAST_SHADING")
"""Constants that are shares, at most 1."""
FELT = 0.003
"""Smallest change of a figure that is reported, in overlap, share or log units."""
TOLD = ("overlap", "seen_overlap", "missed", "beside", "face_hidden", "found", "in_skull", "brightness", "contrast",
        "redder", "bluer")  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A fit, its faces, the name of the held-out photo, and the style fitted to the other photos."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    left_out: str
    style: FittedStyle


def person_of(photos: tuple[Path, ...], most: int) -> Person:
    """Fit at most ``most`` photos, hold out the middle one and search the style of the others."""
    collection = collect([PhotoSource.from_path(path) for path in photos[:most]])
    fitted = fit_with(collection, fit_options_for("standard"), open_models())
    number = left_out(len(fitted.photos), 3)[-2] if len(fitted.photos) > 2 else 0
    return searched(fitted, collection.faces, fitted.photos[number].name)


def searched(fitted: FittedFace, faces: tuple[PhotoFace, ...], name: str) -> Person:
    """The person with the style searched in all photos but the one called ``name``."""
    split = without_photo(fitted, faces, name)
    views = hair_views(load_template(), split.others, split.other_faces)
    return Person(fitted, faces, name, fit_style(load_template(), fitted.neutral, views))


def modules() -> dict[str, ModuleType]:
    """Name -> module of ``backend.hair``."""
    return {name: importlib.import_module(f"backend.hair.{name}") for name in (*FITTED, *SEARCHED, *OTHERS)}


def numbers(module: ModuleType) -> dict[str, float | int]:
    """Numeric constants of a module by name, its own and imported ones."""
    held = vars(module).items()
    return {name: value for name, value in held if name.isupper() and type(value) in (int, float)}


@contextmanager
def changed(room: str, name: str, value: float | int) -> Iterator[None]:
    """Context in which a module's constant has another value, also in the modules that import it.

    Compiled functions keep the old value.
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
    """Mean figures, and the points (G, P, 3) of each person's strands; ``again`` : search the styles again."""
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
    """Mean distance in mm from the strands' points to the nearest points before, over people with both."""
    both = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    ways = [cKDTree(a.reshape(-1, 3)).query(b.reshape(-1, 3))[0].mean() for a, b in both]
    return 1000.0 * float(np.mean(ways)) if ways else float("nan")


def main() -> int:
    """Run the benchmark from the command line; returns the exit code."""
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
    """Print a line per constant of ``only``, which names modules or single constants."""
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
