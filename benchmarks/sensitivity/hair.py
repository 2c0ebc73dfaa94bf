"""Constants of ``backend/hair`` that the hair fit reads: figures of ``evaluate hair``.

Constants that only previews, cards and Blender read (``draw``, ``cards``) change no figure and are judged by eye.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.fitted_face import FittedFace
from backend.geometry.template import load_template
from backend.hair.fit_hair import FoundHair, hair_of_style
from backend.hair.fit_style import FittedStyle, fit_style
from backend.hair.hair_views import hair_views
from backend.photos.collection import PhotoFace
from benchmarks.sensitivity.constants import module_constants
from benchmarks.sensitivity.frame import Measured, Subject
from benchmarks.sensitivity.people import fitted_person
from trainer.evaluate.hair import held_out_hair
from trainer.evaluate.held_out import without_photo

FITTED = ("guides", "to_outlines", "hair_views", "attach", "strand_colours", "fit_hair", "locks")
VARIED_MODULES = ("fit_style", "style_model")
"""Modules of ``backend.hair`` whose constants are varied. For those of ``FITTED`` the style found before is kept."""
IMPORTING_MODULES = ("cards", "draw", "grow", "hair_line", "hair_strands", "hull", "styles")
"""Other modules that may import these constants by name."""
SHARES = (
    "guides._COMBED",
    "guides._COVERED",
    "guides._EDGE",
    "guides._MEET",
    "guides._ROPES",
    "strand_colours._LEAST_SHADING",
)
SMALLEST_CHANGE = 0.003
"""Overlap, share or log units."""
FIGURES = ("overlap", "seen_overlap", "missed", "beside", "face_hidden", "found", "in_skull", "brightness",
           "brightness_off", "contrast", "red_off", "blue_off")  # fmt: skip


@dataclass(frozen=True)
class Person:
    """A fit, its faces, the name of the held-out photo, and the style fitted to the other photos."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    left_out: str
    style: FittedStyle


def person_of(photos: Sequence[Path], most: int) -> Person:
    """Fit at most ``most`` photos, hold out the middle one and search the style of the others."""
    one = fitted_person(photos, most, "standard")
    return searched(one.fitted, one.faces, one.left_out)


def searched(fitted: FittedFace, faces: tuple[PhotoFace, ...], name: str) -> Person:
    """The person with the style searched in all photos but the one called ``name``."""
    split = without_photo(fitted, faces, name)
    views = hair_views(load_template(), split.others, split.other_faces)
    return Person(fitted, faces, name, fit_style(load_template(), fitted.neutral, views))


def measure(person: Person, changed: str) -> Measured:
    """Figures on the photo that was left out, and the points (G, P, 3) of the strands, metres; None without hair."""
    if changed.partition(".")[0] in VARIED_MODULES:
        person = searched(person.fitted, person.faces, person.left_out)
    made: list[FoundHair] = []

    def fit(template, fitted, faces) -> FoundHair:
        made.append(hair_of_style(template, fitted, faces, hair_views(template, fitted, faces), person.style))
        return made[-1]

    found = held_out_hair(load_template(), person.fitted, person.faces, person.left_out, fit).figures
    strands = made[0].strands
    return Measured({name: getattr(found, name) for name in FIGURES}, None if strands is None else strands.points)


def moved_by(before: np.ndarray | None, after: np.ndarray | None) -> float:
    """Mean distance in mm from points (G, P, 3) to the nearest before; 0 without hair before or after."""
    if before is None or after is None:
        return 0.0
    return 1000.0 * float(cKDTree(before.reshape(-1, 3)).query(after.reshape(-1, 3))[0].mean())


def subject(size: int) -> Subject:
    """All constants of the hair fit; ``size`` is not used."""
    modules = {
        name: importlib.import_module(f"backend.hair.{name}") for name in (*FITTED, *VARIED_MODULES, *IMPORTING_MODULES)
    }
    return Subject(
        constants=module_constants(modules, (*FITTED, *VARIED_MODULES)),
        shares=SHARES,
        measure=measure,
        difference=moved_by,
        unit="mm that strands move",
        felt=SMALLEST_CHANGE,
    )
