"""Leave-one-out textures: make a texture without one photo and compare it with that photo.

Difference between a lit texture and a held-out photograph, per texel.

``made`` and ``photo`` are natural logarithms of linear light. Differences are made minus photo: positive where the
texture is brighter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from backend.errors import LikenessError
from backend.geometry.robust_statistics import weighted_median
from backend.geometry.template import load_template
from backend.models.graph_albedo import GraphAlbedoModel
from backend.models.registry import GRAPH_ALBEDO
from backend.photos.collection import FaceClass
from backend.rendering.color import LUMINANCE
from backend.texture.surface import SurfaceAtlas, head_surface, masked_lowpass, texture_space
from trainer.evaluate.harness import add_people_arguments, measured, of_cases, people_folders
from trainer.evaluate.held_out import HeldOutPhoto, fitted_person, held_out_photo

FINEST, COARSEST = 0.0025, 0.009
"""Metres, frequency band of the details of lids, lips, brows and folds; finer is the photo's noise, coarser is
light."""
_DETAIL_WEIGHT = 0.3  # weight above which a texel is used for details
_LOWPASS_WEIGHT = 0.05  # weight above which it contributes to its neighbours' means


@dataclass(frozen=True)
class ColourDifference:
    """Log units: ``brightness`` of luminance, ``red_green`` and ``green_blue`` of the channels' ratios."""

    brightness: float
    red_green: float
    green_blue: float


def log_ratios(log_linear: np.ndarray) -> np.ndarray:
    """(P, 3) log luminance, log red over green and log green over blue of log linear light (P, 3)."""
    brightness = np.log(np.exp(log_linear) @ np.array(LUMINANCE))
    return np.stack([brightness, log_linear[:, 0] - log_linear[:, 1], log_linear[:, 1] - log_linear[:, 2]], 1)


def median_difference(made: np.ndarray, photo: np.ndarray, weight: np.ndarray) -> ColourDifference:
    """Weighted median of the difference of (P, 3) ``made`` and ``photo``; weight (P,), not all 0."""
    difference, weight = _differences(made, photo, weight)
    return ColourDifference(*weighted_median(difference, weight).tolist())


def mean_difference(
    made: np.ndarray, photo: np.ndarray, weight: np.ndarray, common: np.ndarray | None = None
) -> ColourDifference:
    """Weighted mean absolute difference of (P, 3) ``made`` and ``photo`` after subtracting ``common`` (3,), in the
    order of ``ColourDifference``; None: its own median."""
    difference, weight = _differences(made, photo, weight)
    difference = np.abs(difference - (weighted_median(difference, weight) if common is None else common))
    return ColourDifference(*np.average(difference, axis=0, weights=weight).tolist())


def _differences(made: np.ndarray, photo: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) differences of ``log_ratios`` at texels with weight, and the weights (N,)."""
    used = weight > 0
    return log_ratios(made[used]) - log_ratios(photo[used]), weight[used]


def detail_likeness(
    made: np.ndarray, photo: np.ndarray, weight: np.ndarray, atlas: SurfaceAtlas, texels_per_metre: float
) -> tuple[float, float]:
    """Contrast of the texture's details relative to the photo's, and their correlation.

    Details are the frequency band of log luminance between ``FINEST`` and ``COARSEST``.

    Parameters
    ----------
    made, photo : (P, 3); weight : (P,) in [0, 1], visibility of the face in the photo.
    """
    brightness = np.stack([log_ratios(made)[:, 0], log_ratios(photo)[:, 0]], 1)
    clear = np.where(weight > _LOWPASS_WEIGHT, weight, 0.0).astype(np.float32)
    image, weights = atlas.image(brightness.astype(np.float32)), atlas.image(clear)
    fine, coarse = (masked_lowpass(image, weights, length * texels_per_metre)[0] for length in (FINEST, COARSEST))
    used = weights > _DETAIL_WEIGHT
    details = (fine - coarse)[used].astype(np.float64)  # (N, 2)
    covariance = np.cov(details.T, aweights=weights[used])
    (own, both), (_, others) = covariance
    return float(np.sqrt(own / others)), float(both / np.sqrt(own * others))


PLACES = ("forehead", "nose", "cheeks", "chin")
_FACE = (FaceClass.SKIN, FaceClass.BROWS, FaceClass.EYES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)
_LEAST_TEXELS = 150  # least number of texels for a figure
_UNSEEN_COVERAGE = 0.05  # coverage below which no other photo shows a texel
_VISIBLE_WEIGHT, _REGION_WEIGHT = 0.3, 0.5  # photo's weight of visible texels; region weight inside a place


@dataclass(frozen=True)
class TextureFigures:
    """Figures of one left-out photo, or the mean over several.

    Attributes
    ----------
    skin : mean absolute difference over bare plain skin, log units. unseen : the same over bare skin that no other
        photo shows, after subtracting the common offset of all bare skin; NaN where there is too little of it.
    offsets : place or feature -> its median difference minus that of all plain skin; only visible ones.
    contrast, correlation : of the face's details, texture relative to photo.
    """

    skin: ColourDifference
    offsets: dict[str, ColourDifference]
    contrast: float
    correlation: float
    unseen: ColourDifference


def texture_figures(held_out: HeldOutPhoto) -> TextureFigures | None:
    """Figures of one photo; colours of a monochrome photo are NaN. None where it shows no bare skin."""
    template = load_template()
    surface, atlas = head_surface(template), texture_space(template, held_out.size).skin
    unwrap, bare = held_out.unwrap, held_out.bare
    if (bare > _VISIBLE_WEIGHT).sum() < _LEAST_TEXELS:
        return None
    names = (*PLACES, "face", "lips")
    stacked = np.stack([surface.regions[name] for name in names], 1)
    inside = dict(zip(names, (atlas.sample(stacked) > _REGION_WEIGHT).T, strict=True))
    weights = {name: bare * inside[name] for name in PLACES}
    weights["lips"] = unwrap.weight * (unwrap.labels == FaceClass.LIPS) * inside["lips"]
    weights["brows"] = unwrap.weight * (unwrap.labels == FaceClass.BROWS)
    everywhere = median_difference(held_out.made, held_out.photo, bare)
    offsets = {
        name: _known(_less(median_difference(held_out.made, held_out.photo, weight), everywhere), held_out)
        for name, weight in weights.items()
        if (weight > _VISIBLE_WEIGHT).sum() >= _LEAST_TEXELS
    }
    face = unwrap.with_hair * np.isin(unwrap.labels, _FACE) * inside["face"]
    contrast, correlation = detail_likeness(held_out.made, held_out.photo, face, atlas, held_out.density)
    skin = _known(mean_difference(held_out.made, held_out.photo, bare), held_out)
    hidden = bare * (held_out.covered < _UNSEEN_COVERAGE)
    common = np.array([everywhere.brightness, everywhere.red_green, everywhere.green_blue])
    unseen = ColourDifference(np.nan, np.nan, np.nan)
    if (hidden > _VISIBLE_WEIGHT).sum() >= _LEAST_TEXELS:
        unseen = _known(mean_difference(held_out.made, held_out.photo, hidden, common), held_out)
    return TextureFigures(skin, offsets, contrast, correlation, unseen)


def _less(one: ColourDifference, other: ColourDifference) -> ColourDifference:
    return ColourDifference(
        one.brightness - other.brightness, one.red_green - other.red_green, one.green_blue - other.green_blue
    )


def _known(difference: ColourDifference, held_out: HeldOutPhoto) -> ColourDifference:
    """Set the colours to NaN for a monochrome photo."""
    return replace(difference, red_green=np.nan, green_blue=np.nan) if held_out.monochrome else difference


def person_figures(
    photos: Sequence[Path], quality: str, most: int, completion: GraphAlbedoModel | None = None
) -> TextureFigures:
    """Mean figures over at most ``most`` photos of a person, left out in turn, spread over those that the fit uses.
    completion : network that corrects unseen skin; None: only rules.

    Raises ``LikenessError`` where fewer than two photos are usable, or no left-out one shows bare skin.
    """
    person, template = fitted_person(photos, quality, most), load_template()
    figures = [
        texture_figures(held_out_photo(template, person.fitted, person.faces, name, completion))
        for name in person.names
    ]
    known = [one for one in figures if one is not None]
    if not known:
        raise LikenessError(
            "no_photo",
            f"None of the {len(figures)} photos that were left out shows bare skin.",
            "Leave more of them out in turn (--most), or add photos without a mask before the face.",
        )
    return mean_figures(known)


def mean_figures(figures: Sequence[TextureFigures]) -> TextureFigures:
    """Mean of several; each figure over those that have it."""
    shown = {name for one in figures for name in one.offsets}
    return TextureFigures(
        skin=_mean([one.skin for one in figures]),
        offsets={name: _mean([one.offsets[name] for one in figures if name in one.offsets]) for name in sorted(shown)},
        contrast=float(np.mean([one.contrast for one in figures])),
        correlation=float(np.mean([one.correlation for one in figures])),
        unseen=_mean([one.unseen for one in figures]),
    )


def _mean(differences: Sequence[ColourDifference]) -> ColourDifference:
    """Mean of the known ones, NaN where there is none."""
    values = np.array([(one.brightness, one.red_green, one.green_blue) for one in differences])
    known = ~np.isnan(values)
    means = np.where(known, values, 0.0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    return ColourDifference(*means.tolist())


def flat_figures(one: TextureFigures, prefix: str) -> dict[str, float]:
    """Flat figures under ``prefix``, without NaN."""
    figures = {
        "skin.brightness": one.skin.brightness,
        "skin.red_green": one.skin.red_green,
        "skin.green_blue": one.skin.green_blue,
        "unseen.brightness": one.unseen.brightness,
        "unseen.red_green": one.unseen.red_green,
        "unseen.green_blue": one.unseen.green_blue,
        "detail.contrast": one.contrast,
        "detail.correlation": one.correlation,
    }
    for name, offset in one.offsets.items():
        figures[f"{name}.brightness_offset"] = offset.brightness
        figures[f"{name}.red_green_offset"] = offset.red_green
    return {f"{prefix}{name}": value for name, value in figures.items() if not np.isnan(value)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate textures``."""
    add_people_arguments(parser, most=2)
    parser.add_argument("--completion", action="store_true", help="with the U-Net for skin that no photo shows")


def run(arguments: argparse.Namespace, console: Console) -> dict[str, float]:
    """Compute the flat figures ``textures.…`` (mean over people), and the same per person under ``person.NAME.``."""
    completion = GRAPH_ALBEDO.load() if arguments.completion else None
    people = measured(
        people_folders(arguments.people),
        lambda photos: person_figures(photos, arguments.quality, arguments.most, completion),
        console,
        lambda person: flat_figures(person, ""),
    )
    figures = of_cases({name: flat_figures(person, "") for name, person in people.items()})
    return figures | flat_figures(mean_figures(list(people.values())), "textures.")
