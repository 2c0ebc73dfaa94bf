"""Evaluate hair on held-out photos: fit the hair to a person's other photos and compare its silhouette with the
held-out photo's hair."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from backend.errors import LikenessError
from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.geometry.template import Template, load_template
from backend.hair.fit_hair import FoundHair, fit_hair, hair_outline
from backend.hair.fit_style import lock_lines
from backend.hair.guides import lock_widths
from backend.hair.hair_views import HairView, hair_views
from backend.hair.style_model import lock_noise, style_family
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.reading.source import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.held_out_photo import without_photo
from trainer.evaluate.left_out import left_out
from trainer.evaluate.likeness import people_folders
from trainer.evaluate.metrics.hair_tone import UNKNOWN_TONE, hair_tone
from trainer.evaluate.metrics.intervals import mean_interval
from trainer.evaluate.metrics.strands_inside import strands_inside

CAP_STYLE = "crew"
"""The baseline hair is the midpoint of this style's parameter ranges, the same for everybody."""
_CAP_LOCKS = 600

FitHair = Callable[[Template, FittedFace, Sequence[PhotoFace]], FoundHair]


@dataclass(frozen=True)
class HairFigures:
    """Figures of one held-out photo, or means over several; NaN where there is nothing to measure.

    Attributes
    ----------
    overlap : intersection over union of the fitted hair's silhouette and the photo's hair, without pixels that are
        occluded or outside the photo. Hair that was not found has an empty silhouette.
    cap_overlap : the same for the baseline hair, ``CAP_STYLE`` on this head.
    gain : ``overlap`` minus ``cap_overlap``.
    seen_overlap : mean overlap with the photos that the hair was fitted to.
    missed : share of the photo's hair outside the silhouette. beside : share of the silhouette without hair in the
        photo.
    face_hidden : share of the photo's facial skin that the silhouette covers.
    found : 1 if hair was found, else 0.
    in_skull, in_ear, in_eyes : shares of ``StrandsInside``.
    brightness, contrast, redder, bluer : ``HairTone`` in the held-out photo. brightness_off, red_off, blue_off : sizes
        of ``brightness``, ``redder`` and ``bluer``, of which photos of one person do not cancel each other in a mean.
    seconds : duration of the fit.
    """

    overlap: float
    cap_overlap: float
    gain: float
    seen_overlap: float
    missed: float
    beside: float
    face_hidden: float
    found: float
    in_skull: float
    in_ear: float
    in_eyes: float
    brightness: float
    brightness_off: float
    contrast: float
    redder: float
    red_off: float
    bluer: float
    blue_off: float
    seconds: float


@dataclass(frozen=True)
class HeldOutHair:
    """``figures`` and ``view`` of one held-out photo. ``drawn`` : (H, W) uint8 silhouette, in the photo's pixels, of
    the hair fitted to the other photos. ``style`` : the fitted style's name, or why there is no hair."""

    figures: HairFigures
    view: HairView
    drawn: np.ndarray
    style: str


def held_out_hair(
    template: Template,
    fitted: FittedFace,
    faces: Sequence[PhotoFace],
    name: str,
    fit: FitHair = fit_hair,
) -> HeldOutHair:
    """Fit the hair to all photos but ``name`` and measure it on that photo.

    The head's shape and the photo's camera come from the fit to all photos, so that only the hair is measured.

    Parameters
    ----------
    faces : at least those of ``fitted.photos``. name : one of at least two photos.
    """
    split = without_photo(fitted, faces, name)
    own, face = split.own, split.face
    start = perf_counter()
    found = fit(template, split.others, split.other_faces)
    seconds = perf_counter() - start
    view = hair_views(template, replace(fitted, photos=(own,)), [face])[0]
    strands = found.strands
    drawn, seen = np.zeros(view.depth.shape, np.uint8), [np.nan]
    inside, tone = None, UNKNOWN_TONE
    if strands is not None:
        drawn = hair_outline(strands.points, strands.width, template, fitted.neutral, view)
        others = hair_views(template, split.others, faces)
        seen = [
            mask_overlap(hair_outline(strands.points, strands.width, template, fitted.neutral, other), other)
            for other in others
        ]
        inside = strands_inside(strands.points, template, fitted.neutral)
        tone = hair_tone(strands, own, face, template)
    overlap, cap_overlap = mask_overlap(drawn, view), mask_overlap(cap(template, fitted.neutral, view), view)
    figures = HairFigures(
        overlap=overlap,
        cap_overlap=cap_overlap,
        gain=overlap - cap_overlap,
        seen_overlap=_mean(seen),
        missed=_share(1 - drawn, view.hair * view.known),
        beside=_share(1 - view.hair, drawn * view.known),
        face_hidden=_share(drawn, facial_skin(face, view) * view.known),
        found=float(strands is not None),
        in_skull=np.nan if inside is None else inside.skull,
        in_ear=np.nan if inside is None else inside.ears,
        in_eyes=np.nan if inside is None else inside.eyes,
        brightness=tone.brightness,
        brightness_off=abs(tone.brightness),
        contrast=tone.contrast,
        redder=tone.redder,
        red_off=abs(tone.redder),
        bluer=tone.bluer,
        blue_off=abs(tone.bluer),
        seconds=seconds,
    )
    return HeldOutHair(figures, view, drawn, found.reason if strands is None else strands.style)


def cap(template: Template, neutral: np.ndarray, view: HairView) -> np.ndarray:
    """(H, W) uint8 silhouette of the baseline hair (``CAP_STYLE``) on a head of ``neutral`` (V, 3)."""
    family = style_family()
    index = [style.name for style in family.styles].index(CAP_STYLE)
    point = 0.5 * (family.low[index] + family.high[index])
    lines = lock_lines(template, neutral, point[None], lock_noise(_CAP_LOCKS))[0].numpy()
    lines = lines[np.isfinite(lines).all((1, 2))]
    return hair_outline(lines, lock_widths(lines[:, 0], family.styles[index]), template, neutral, view)


def facial_skin(face: PhotoFace, view: HairView) -> np.ndarray:
    """(H, W) float32 share of facial skin in each pixel of the view."""
    skin = (face.labels == FaceClass.SKIN).astype(np.float32)
    return cv2.resize(skin, view.camera.size, interpolation=cv2.INTER_AREA)


def mask_overlap(drawn: np.ndarray, view: HairView) -> float:
    """Intersection over union of a silhouette (H, W) and the view's hair where known; NaN if both are empty."""
    seen, known = view.hair * view.known, drawn * view.known
    both = float((drawn * seen).sum())
    either = float(known.sum() + seen.sum()) - both
    return both / either if either > 1.0 else np.nan


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    """Mean of ``part`` weighted by ``whole``; NaN if the weights sum to at most a pixel."""
    total = float(whole.sum())
    return float((part * whole).sum()) / total if total > 1.0 else np.nan


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = np.array(values)[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def mean_figures(figures: Sequence[HairFigures]) -> HairFigures:
    """Mean of each figure over those where it is known."""
    names = [field.name for field in fields(HairFigures)]
    return HairFigures(**{name: _mean([getattr(one, name) for one in figures]) for name in names})


def flat_figures(people: Mapping[str, HairFigures]) -> dict[str, float]:
    """``hair.FIGURE`` with ``.low`` and ``.high`` over people, and ``person.NAME.FIGURE``; NaN is left out."""
    figures: dict[str, float] = {}
    for field in fields(HairFigures):
        values = {name: getattr(person, field.name) for name, person in people.items()}
        figures |= {f"person.{name}.{field.name}": value for name, value in values.items()}
        figures |= mean_interval(np.array(list(values.values()))).figures(f"hair.{field.name}")
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def person_hair(photos: Sequence[Path], quality: str, most: int) -> list[HeldOutHair]:
    """Hold out at most ``most`` photos of a person in turn, spread over those that the fit uses.

    Raises ``LikenessError`` if fewer than two photos are usable.
    """
    collection = collect([PhotoSource.from_path(path) for path in photos])
    fitted = fit_with(collection, fit_options_for(quality), open_models())
    names = [fitted.photos[index].name for index in left_out(len(fitted.photos), most)]
    template = load_template()
    return [held_out_hair(template, fitted, collection.faces, name) for name in names]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate hair``."""
    parser.add_argument("people", type=Path, nargs="+", help="folders of a person's photos, or of such folders")
    parser.add_argument("--quality", default="standard", choices=("fast", "standard", "best"))
    parser.add_argument("--most", type=int, default=2, help="photos left out in turn per person (default 2)")
    parser.add_argument("--photos", type=int, help="photos used of each person, the first by name (default: all)")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Flat figures ``hair.…`` (mean over people), and the same per person under ``person.NAME.``."""
    people: dict[str, HairFigures] = {}
    table = Table("person", *_COLUMNS, "style", title="Hair of held-out photos")
    folders = {name: photos for folder in arguments.people for name, photos in people_folders(folder).items()}
    for name, photos in folders.items():
        try:
            held_out = person_hair(photos[: arguments.photos], arguments.quality, arguments.most)
        except LikenessError as error:
            console.print(f"{name}: {error}", markup=False)
            continue
        people[name] = mean_figures([one.figures for one in held_out])
        styles = ", ".join(dict.fromkeys(one.style for one in held_out))
        table.add_row(name, *_cells(people[name]), styles)
    if not people:
        raise LikenessError("no_photo", "Nobody has two usable photos.", "Leaving one out needs at least two.")
    table.add_section()
    table.add_row("mean", *_cells(mean_figures(list(people.values()))), "")
    console.print(table)
    figures = flat_figures(people)
    for name in ("overlap", "cap_overlap", "gain"):
        if f"hair.{name}" in figures:
            mean, low, high = (figures[f"hair.{name}{end}"] for end in ("", ".low", ".high"))
            console.print(f"{name}: {mean:.3f} ({low:.3f} to {high:.3f} over {len(people)} people)", highlight=False)
    return figures


_COLUMNS = ("overlap", "cap", "seen", "face hidden", "found", "brightness", "contrast", "s")


def _cells(one: HairFigures) -> tuple[str, ...]:
    shares = (
        one.overlap, one.cap_overlap, one.seen_overlap, one.face_hidden, one.found, one.brightness, one.contrast
    )  # fmt: skip
    return (*("" if np.isnan(share) else f"{share:.2f}" for share in shares), f"{one.seconds:.1f}")
