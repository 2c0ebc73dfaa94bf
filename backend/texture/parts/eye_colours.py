"""Estimate the colours of irises and sclera from photos, including photos too small to resolve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from backend.geometry.robust_statistics import weighted_median, weighted_quantile
from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture.parts.eyes import SCLERA
from backend.texture.parts.settings import PARTS
from backend.texture.unwrapping.photo_selection import TexturePhoto

_IRIS_FAMILY = np.array(  # linear: very dark brown, brown, hazel, green, grey, blue
    [
        [0.020, 0.010, 0.006],
        [0.075, 0.034, 0.014],
        [0.130, 0.088, 0.035],
        [0.120, 0.120, 0.060],
        [0.150, 0.165, 0.165],
        [0.110, 0.160, 0.210],
    ]
)
DEFAULT_IRIS = _IRIS_FAMILY[1]
_BLUE_GREY, _GREEN_GREY = np.array([0.115, 0.150, 0.180]), np.array([0.125, 0.130, 0.085])


@dataclass(frozen=True)
class EyeColours:
    """Linear colours ``iris`` (3,) and sclera ``white`` (3,) of a person's eyes."""

    iris: np.ndarray
    white: np.ndarray


@dataclass(frozen=True)
class WhiteSample:
    """One photo's estimate of the sclera: linear albedo ``colour`` (3,), ``confidence`` 0-1."""

    colour: np.ndarray
    confidence: float


@dataclass(frozen=True)
class IrisSample:
    """One photo's estimate of the irises.

    colour : (3,) linear-light albedo. confidence : 0-1. radius : of the iris, px.
    against_white : log ratio of the iris's luminance to the sclera's; None where the sclera is not visible.
    warmth : log of red over blue, minus that of the iris's surroundings.
    """

    colour: np.ndarray
    confidence: float
    radius: float
    against_white: float | None
    warmth: float


@dataclass(frozen=True)
class _Eye:
    """Pixels around one iris: ``linear`` light (N, 3), ``place`` (N, 2) in units of its ``radius`` (px), y down, and
    ``labels`` (N,)."""

    linear: np.ndarray
    place: np.ndarray
    labels: np.ndarray
    radius: float

    @property
    def distance(self) -> np.ndarray:
        """(N,) from the iris's centre, in radii."""
        return np.hypot(self.place[:, 0], self.place[:, 1])

    def white(self, fewest: int) -> tuple[np.ndarray, int] | None:
        """(3,) mean linear colour of the sclera and its pixel count; None with fewer than ``fewest`` pixels."""
        white = self.linear[(self.distance > 1.15) & (self.labels == FaceClass.EYES)]
        count = len(white)
        if count < fewest:
            return None
        rising = white[np.argsort(white @ LUMINANCE)]  # trimmed: lid rims and corners are dark, tear lines bright
        return rising[count * 6 // 10 : count * 9 // 10].mean(axis=0), count


def find_eyes(photos: Sequence[TexturePhoto], tone: np.ndarray) -> EyeColours:
    """Estimate the eyes' colours from the colour photos, relative to skin of albedo ``tone`` (3,), so that exposure and
    light cancel."""
    irises: list[IrisSample] = []
    whites: list[WhiteSample] = []
    for photo in photos:
        used = photo.samples.weight > 0.3
        if photo.samples.colourless or used.sum() < 20:
            continue
        falling = np.median(photo.samples.linear[used], axis=0) / tone
        iris, white = iris_sample(photo.face, falling), white_sample(photo.face, falling)
        if iris is not None:
            irises.append(replace(iris, confidence=iris.confidence * photo.samples.trust))
        if white is not None:
            whites.append(replace(white, confidence=white.confidence * photo.samples.trust))
    return EyeColours(iris_colour(irises), white_colour(whites))


def _eyes_of(face: PhotoFace) -> list[_Eye]:
    """Pixels of the eyes that are large enough and inside the image."""
    eyes = []
    height, width = face.pixels.shape[:2]
    for centre_row in (468, 473):
        centre = face.landmarks[centre_row, :2]
        radius = float(np.linalg.norm(face.landmarks[centre_row + 1 : centre_row + 5, :2] - centre, axis=1).mean())
        if radius < 2.0 or (centre < radius).any() or (centre > (width - radius, height - radius)).any():
            continue
        x0, y0 = np.maximum(np.floor(centre - PARTS.eye_reach * radius), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + PARTS.eye_reach * radius), (width - 1, height - 1)).astype(int)
        ys, xs = (grid.ravel() for grid in np.mgrid[y0 : y1 + 1, x0 : x1 + 1])
        place = (np.stack([xs, ys], 1) + 0.5 - centre) / radius
        eyes.append(_Eye(linear_from_srgb(face.pixels[ys, xs]), place, face.labels[ys, xs], radius))
    return eyes


def iris_sample(face: PhotoFace, shading: np.ndarray) -> IrisSample | None:
    """Estimate the iris albedo from one photo; None without a large and clear iris.

    face : the photo; landmarks 468-472 and 473-477 are the irises' centres and four rims each.
    shading : (3,) linear light on the surrounding skin; divides the colour.
    """
    found, areas, radii, against, warmth = [], [], [], [], []
    for eye in _eyes_of(face):
        ring = (eye.distance > 0.42) & (eye.distance < 0.85) & (eye.labels == FaceClass.EYES)
        ring &= eye.place[:, 1] > -0.35  # the upper lid shades the top
        if ring.sum() < 8:
            continue
        linear = eye.linear[ring]  # (n, 3)
        order = np.argsort(linear @ LUMINANCE)
        middle = order[len(order) // 4 : max(len(order) * 7 // 10, len(order) // 4 + 1)]  # no catchlight, no lash
        colour = np.median(linear[middle], axis=0)
        around = eye.linear[(eye.distance > PARTS.around_iris[0]) & (eye.distance < PARTS.around_iris[1])].mean(axis=0)
        if _warmth(around / np.maximum(shading, 1e-3)) < PARTS.tinted:
            continue
        if (white := eye.white(PARTS.fewest_beside)) is not None:
            ratio = np.log(max(colour @ LUMINANCE, 1e-3) / max(white[0] @ LUMINANCE, 1e-3))
            if ratio > PARTS.lids_against_white:
                continue
            against.append(ratio)
        found.append(colour)
        areas.append(ring.sum())
        radii.append(eye.radius)
        warmth.append(_warmth(colour) - _warmth(around))
    if not found:
        return None
    albedo = np.average(found, axis=0, weights=areas) / np.maximum(PARTS.iris_light * shading, 1e-3)
    if albedo @ LUMINANCE > PARTS.no_iris:
        return None
    return IrisSample(
        colour=albedo,
        confidence=float(np.clip(sum(areas) / 250.0, 0.05, 1.0)),
        radius=float(np.mean(radii)),
        against_white=float(np.mean(against)) if against else None,
        warmth=float(np.mean(warmth)),
    )


def _warmth(colour: np.ndarray) -> float:
    """Log of red over blue of (3,) linear light."""
    return float(np.log(max(colour[0], 1e-3) / max(colour[2], 1e-3)))


def white_sample(face: PhotoFace, shading: np.ndarray) -> WhiteSample | None:
    """Estimate the sclera's albedo from one photo; parameters as for ``iris_sample``."""
    found, areas = [], []
    for eye in _eyes_of(face):
        if (white := eye.white(PARTS.fewest_white)) is not None:
            found.append(white[0])
            areas.append(white[1])
    if not found:
        return None
    colour = np.average(found, axis=0, weights=areas) / np.maximum(PARTS.white_light * shading, 1e-3)
    return WhiteSample(colour, float(np.clip(sum(areas) / 500.0, 0.05, 1.0)))


def white_colour(samples: Sequence[WhiteSample]) -> np.ndarray:
    """Combine the photos' samples into one sclera colour (3,), linear light; ``SCLERA`` without samples.

    Brightness is a high quantile, bounded: brows may shade eyes, but nothing brightens them. The hue is that of
    ``SCLERA``, drawn a third of the way to the photos'."""
    if not samples:
        return SCLERA.copy()
    colours = np.log(np.clip(np.array([sample.colour for sample in samples]), 0.02, 1.0))  # (n, 3)
    weights = np.array([sample.confidence for sample in samples])
    level = float(weighted_quantile(colours.mean(1, keepdims=True), weights, PARTS.least_shaded)[0])
    hue = np.average(colours - colours.mean(1, keepdims=True), axis=0, weights=weights)
    own = np.log(SCLERA)
    level = float(np.clip(level, *np.log(PARTS.white_range)))
    return np.exp(level + 0.33 * hue + 0.67 * (own - own.mean()))


def iris_colour(samples: Sequence[IrisSample]) -> np.ndarray:
    """Combine the photos' samples into one iris colour (3,), linear light; brown without samples.

    Large irises give their measured colour. For small ones the colour is the most likely one given brightness and
    warmth. In between the two are blended.
    """
    if not samples:
        return DEFAULT_IRIS.copy()
    weights = np.array([sample.confidence for sample in samples])
    radius = np.average([sample.radius for sample in samples], weights=weights)
    shown = float(smoothstep(PARTS.iris_too_small, PARTS.iris_large_enough, radius))
    return np.exp(shown * _log_measured(samples) + (1 - shown) * _log_likely(samples))


def _log_measured(samples: Sequence[IrisSample]) -> np.ndarray:
    """(3,) log colour: weighted median, drawn a third of the way to the nearest natural iris colour."""
    colours = np.log(np.clip(np.array([sample.colour for sample in samples]), 2e-3, 1.0))  # (n, 3)
    # brighter samples are lids or sclera
    too_bright = np.clip(colours.mean(1) - np.log(PARTS.brightest_iris), 0.0, None)
    weights = np.array([sample.confidence for sample in samples]) * np.exp(-3.0 * too_bright)
    if weights.max() < 0.03:
        return np.log(DEFAULT_IRIS)
    median = weighted_median(colours, weights)
    family = np.log(_IRIS_FAMILY)
    fine = np.concatenate([a + np.linspace(0, 1, 17)[:, None] * (b - a) for a, b in pairwise(family)])
    chroma = np.array([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])
    cost = 0.3 * (fine.mean(1) - median.mean()) ** 2 + (((fine - median) @ chroma.T) ** 2).sum(1)
    nearest = fine[np.argmin(cost)]
    blended = 0.65 * median + 0.35 * nearest
    return blended - blended.mean() + np.clip(blended.mean(), np.log(0.010), np.log(PARTS.brightest_iris))


def _log_likely(samples: Sequence[IrisSample]) -> np.ndarray:
    """(3,) log colour of irises too small to resolve: a logistic mix of brown and light, from their luminance, their
    ratio to the sclera, and their warmth relative to the surroundings."""
    weights = np.array([sample.confidence for sample in samples])
    luminance, white, warmth = np.average(
        [
            [
                np.log(max(sample.colour @ LUMINANCE, 1e-3)),
                PARTS.usual_against_white if sample.against_white is None else sample.against_white,
                sample.warmth,
            ]
            for sample in samples
        ],
        axis=0,
        weights=weights,
    )
    odds = (
        PARTS.light_offset
        + PARTS.light_by_luminance * luminance
        + PARTS.light_by_white * white
        + PARTS.light_by_warmth * warmth
    )
    photos = float(weights.sum() ** 2 / (weights**2).sum())
    light = 1.0 / (1.0 + np.exp(-odds * PARTS.most_sure * photos / (photos + PARTS.few_photos)))
    green = np.clip((warmth - PARTS.cool) / (PARTS.warm - PARTS.cool), 0.0, 1.0)
    hues = (np.log(_IRIS_FAMILY[1]), green * np.log(_GREEN_GREY) + (1 - green) * np.log(_BLUE_GREY))
    brown, pale = (
        hue - np.log(np.exp(hue) @ LUMINANCE) + np.clip(luminance, *np.log(bounds))
        for hue, bounds in zip(hues, (PARTS.brown_luminance, PARTS.light_luminance), strict=True)
    )
    return (1 - light) * brown + light * pale
