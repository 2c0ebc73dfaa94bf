"""Constants of ``backend/hair`` that the hair fit reads: figures of ``evaluate hair``.

Constants that only previews, cards and Blender read (``draw``, ``cards``) change no figure and are judged by eye.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.template import load_template
from backend.hair.fit_hair import FoundHair, fit_hair
from benchmarks.sensitivity.constants import module_constants
from benchmarks.sensitivity.frame import Measured, Subject
from benchmarks.sensitivity.people import FittedPerson, fitted_person
from trainer.evaluate.hair import held_out_hair

VARIED_MODULES = (
    "attach", "directions", "fit_hair", "hair_surface", "hair_views", "locks", "look", "strand_colours", "trace"
)  # fmt: skip
"""Modules of ``backend.hair`` whose constants are varied."""
IMPORTING_MODULES = ("cards", "draw", "grow", "hair_line", "hair_strands", "hull", "styles")
"""Other modules that may import these constants by name."""
SHARES = ("trace._EDGE", "trace._INNER", "trace._MEET", "trace._RAGGED", "trace._ROPES", "hair_surface._EDGE",
          "strand_colours._LEAST_SHADING")  # fmt: skip
SMALLEST_CHANGE = 0.003
"""Overlap, share or log units."""
FIGURES = ("overlap", "seen_overlap", "missed", "beside", "face_hidden", "found", "in_skull", "brightness",
           "brightness_off", "contrast", "red_off", "blue_off")  # fmt: skip


def person_of(photos: Sequence[Path], most: int) -> FittedPerson:
    """Fit at most ``most`` photos; the middle one is held out."""
    return fitted_person(photos, most, "standard")


def measure(person: FittedPerson, changed: str) -> Measured:
    """Figures on the photo that was left out, and the points (G, P, 3) of the strands, metres; None without hair."""
    made: list[FoundHair] = []

    def fit(template, fitted, faces) -> FoundHair:
        made.append(fit_hair(template, fitted, faces))
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
    modules = {name: importlib.import_module(f"backend.hair.{name}") for name in (*VARIED_MODULES, *IMPORTING_MODULES)}
    return Subject(
        constants=module_constants(modules, VARIED_MODULES),
        shares=SHARES,
        measure=measure,
        difference=moved_by,
        unit="mm that strands move",
        felt=SMALLEST_CHANGE,
    )
