"""Sensitivity of the figures of ``evaluate textures`` to settings: benchmarks/texture_settings.py --people DIR.

Every field of the settings of ``backend/texture`` (``--only delighting blending.consistent``: of one package, one
field)
is halved and doubled, shares limited to 1. One photo of each person is left out, a small texture is made from the
others, and the figures compare it with the photo left out. The output has a line per field: the largest change of each
figure's mean over the people, and the difference between the textures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads sleep (docs/decisions)

import numpy as np

from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.geometry.template import load_template
from backend.hair.fit_hair import fit_hair
from backend.hair.hair_strands import HairStrands
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.reading.source import PhotoSource
from backend.texture.albedo import build_albedo
from backend.texture.blending.settings import BLENDING
from backend.texture.delighting.settings import DELIGHTING
from backend.texture.finishing.settings import FINISHING
from backend.texture.inpainting.settings import INPAINTING
from backend.texture.parts.settings import PARTS
from backend.texture.unwrapping.settings import UNWRAPPING
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.held_out_photo import WithoutPhoto, beside_photo, without_photo
from trainer.evaluate.left_out import left_out
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.textures import flat_figures, mean_figures, texture_figures

ROOMS = {
    "unwrapping": UNWRAPPING,
    "delighting": DELIGHTING,
    "blending": BLENDING,
    "inpainting": INPAINTING,
    "parts": PARTS,
    "finishing": FINISHING,
}
Number = float | int | tuple[float, ...]
SHARES = (
    "delighting.symmetric_level",
    "delighting.symmetric_chroma",
    "delighting.matt_quantile",
    "delighting.gloss_most",
    "delighting.dark_grey",
    "delighting.coarse_colour",
    "blending.moved_less",
    "blending.expression_folds",
    "inpainting.known",
    "inpainting.under_jaw_grazing",
    "inpainting.aslant",
    "inpainting.lit_quantile",
    "inpainting.near_border",
    "inpainting.bristle_quantile",
    "parts.brow_dark_part",
    "parts.brow_density",
    "parts.iris_light",
    "parts.white_light",
    "parts.white_range",
    "parts.least_shaded",
    "parts.root_shade",
    "finishing.rim_detail",
    "finishing.mouth_front",
)
"""Fields that are at most 1."""
FELT = 0.002
"""Log units, or correlation: smaller changes of a figure are insignificant; seeds and JPEG have the same effect."""


@dataclass(frozen=True)
class Person:
    """A fit with one of its photos left out, and the hair fitted to the others."""

    fitted: FittedFace
    split: WithoutPhoto
    strands: HairStrands | None


def person_of(photos: tuple[Path, ...], most: int) -> Person:
    """Fit at most ``most`` photos and leave out the middle one."""
    collection = collect([PhotoSource.from_path(path) for path in photos[:most]])
    fitted = fit_with(collection, fit_options_for("fast"), open_models())
    number = left_out(len(fitted.photos), 3)[-2] if len(fitted.photos) > 2 else 0
    split = without_photo(fitted, collection.faces, fitted.photos[number].name)
    return Person(fitted, split, fit_hair(load_template(), split.others, split.other_faces).strands)


def numbers(settings: Any, above: str) -> dict[str, tuple[Any, str]]:
    """Map each field's name, ``package.field`` or ``package.field.field``, to the settings object and the field."""
    found: dict[str, tuple[Any, str]] = {}
    for field in fields(settings):
        value, name = getattr(settings, field.name), f"{above}.{field.name}"
        found |= numbers(value, name) if is_dataclass(value) else {name: (settings, field.name)}
    return found


def scaled(value: Number, factor: float, most: float) -> Number:
    """Multiply the number, or each of several, by ``factor``; at most ``most``; integers stay integers."""
    if isinstance(value, tuple):
        return tuple(min(factor * one, most) for one in value)
    return round(factor * value) if isinstance(value, int) else min(factor * value, most)


@contextmanager
def changed(settings: Any, field: str, value: Number) -> Iterator[None]:
    """Change one field temporarily. The settings are frozen for all other code."""
    before = getattr(settings, field)
    object.__setattr__(settings, field, value)
    try:
        yield
    finally:
        object.__setattr__(settings, field, before)


def measured(people: list[Person], size: int) -> tuple[dict[str, float], list[np.ndarray]]:
    """Return the mean figures, and the textures."""
    template, figures, textures = load_template(), [], []
    for one in people:
        made = build_albedo(template, one.split.others, one.split.other_faces, size, one.strands)
        found = texture_figures(beside_photo(template, one.fitted, one.split.own, one.split.face, made))
        textures.append(made.albedo)
        if found is not None:
            figures.append(found)
    return flat_figures(mean_figures(figures), ""), textures


def main() -> int:
    """Print a line per field."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True, help="a folder with a folder of photos per person")
    parser.add_argument("--size", type=int, default=512, help="edge of the textures (default 512)")
    parser.add_argument("--photos", type=int, default=5, help="photos of each person (default 5)")
    parser.add_argument("--only", nargs="+", default=list(ROOMS), help="these rooms or numbers (room.field) alone")
    arguments = parser.parse_args()
    every = {name: held for room, settings in ROOMS.items() for name, held in numbers(settings, room).items()}
    chosen = [name for only in arguments.only for name in every if name == only or name.startswith(f"{only}.")]
    if not chosen:
        parser.error(f"no number is called {' or '.join(arguments.only)}")
    people = [person_of(photos, arguments.photos) for photos in people_folders(arguments.people).values()]
    base, textures = measured(people, arguments.size)
    print("  ".join(f"{name} {value:.4f}" for name, value in base.items()), flush=True)
    for name in chosen:
        settings, field = every[name]
        value, moved, differs = getattr(settings, field), {}, 0.0
        for factor in (0.5, 2.0):
            with changed(settings, field, scaled(value, factor, 1.0 if name in SHARES else np.inf)):
                figures, made = measured(people, arguments.size)
            for figure in base.keys() & figures.keys():
                moved[figure] = max(moved.get(figure, 0.0), abs(figures[figure] - base[figure]))
            pairs = zip(made, textures, strict=True)
            differs = max(differs, *(float(np.abs(a.astype(int) - b).mean()) for a, b in pairs))
        felt = sorted(((v, k) for k, v in moved.items() if v >= FELT), reverse=True)
        told = ", ".join(f"{figure} {most:.4f}" for most, figure in felt[:4]) or "nothing"
        print(f"{name} = {value}: {told}; mean difference of textures {differs:.3f}/255", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
