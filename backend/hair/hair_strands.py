"""Hair as guide strands: the result of fitting hair, independent of any file format; how strands are resampled, cut and
spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

MOST_GUIDES, MOST_POINTS = 4096, 64
"""Limits on read and sent files: number of guides, and points of each. 4 MB; four times the guides of a fit."""
FACIAL_GUIDES = "facial_guides"
"""Name among ``HairStrands.parameters`` of how many guides, the last ones, are facial hair."""
HIDES = 0.02
"""Metres: shorter hair lets skin through."""
SPACING = 0.0034
"""Metres between guides of a beard: a full one has 1,200."""
_WIDER = 0.016
"""Metres of a beard's length over which a lock gets wider by ``SPACING``: hairs of long beards mingle."""
MOST_RADIUS = 0.001
"""Metres; the thickest hair has a tenth of this."""


@dataclass(frozen=True)
class Scalp:
    """The part of a head's skin where hair may grow, S vertices.

    Attributes
    ----------
    vertices : (S, 3) float32 metres, head frame. triangles : (T, 3) int32.
    uv : (S, 2) float32, a map of its own about the crown.
    density : (S,) 0-1, share of full hair, which falls off unevenly at the hairline.
    edge : (S,) metres to the hairline, positive where hair grows.
    top : (S,) 0 on sides and back to 1 on top of the head.
    length : (S,) metres, of hair that grows there.
    melanin : (S,) -1 to 1, variation by lock.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    density: np.ndarray
    edge: np.ndarray
    top: np.ndarray
    length: np.ndarray
    melanin: np.ndarray


@dataclass(frozen=True)
class HairStrands:
    """G guide strands of P points each. A guide stands for the lock of hairs around it.

    Attributes
    ----------
    points : (G, P, 3) float32 metres, head frame of the neutral face, root first.
    root_uv : (G, 2) float32 place of the root in UV map ``Head`` (v up), which attaches the hair to the head's surface.
    width : (G,) float32 metres across the lock that a guide stands for.
    root_colour, tip_colour : (G, 3) float32 linear light, albedo.
    hair_radius : metres, of a single hair at its root.
    style : name of the hairstyle that was chosen, or ``auto``.
    parameters : the hairline's numbers by name, degrees from the crown; and `facial_guides`, how many of the last
        guides are facial hair.
    scalp, scalp_uv, free, chain : where and how hairs grow between the guides: the scalp, (G, 2) roots in its map, (G,)
        1 for guides that begin at a tie, and inputs of the extension's nodes by name; None until ``dressed``.
    """

    points: np.ndarray
    root_uv: np.ndarray
    width: np.ndarray
    root_colour: np.ndarray
    tip_colour: np.ndarray
    hair_radius: float
    style: str
    parameters: Mapping[str, float]
    scalp: Scalp | None = None
    scalp_uv: np.ndarray | None = None
    free: np.ndarray | None = None
    chain: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.points.ndim != 3:
            raise ValueError(f"points must be (G, P, 3), not {self.points.shape}")
        if not 0 < self.hair_radius < MOST_RADIUS:
            raise ValueError("hair_radius must be that of a hair, in metres")
        guides, points = self.points.shape[:2]
        if not (1 <= guides <= MOST_GUIDES and 2 <= points <= MOST_POINTS):
            raise ValueError(f"hair must have 1 to {MOST_GUIDES} guides of 2 to {MOST_POINTS} points")
        shapes = {"points": (guides, points, 3), "root_uv": (guides, 2), "width": (guides,)}
        shapes |= {"root_colour": (guides, 3), "tip_colour": (guides, 3)}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float32 or not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite float32 of shape {shape}")

    def recoloured(self, factor: np.ndarray) -> HairStrands:
        """The same hair with its albedo times ``factor`` (3,), at most 1."""
        both = np.stack([self.root_colour, self.tip_colour]) * factor
        root, tip = np.clip(both, 0.0, 1.0).astype(np.float32)
        return replace(self, root_colour=root, tip_colour=tip)


def lock_width(points: np.ndarray) -> np.ndarray:
    """(G,) metres across the locks of a full beard's guides (G, P, 3)."""
    return SPACING * (2.0 + np.linalg.norm(np.diff(points, axis=1), axis=-1).sum(1) / _WIDER)


def resampled_to(lines: np.ndarray, count: int) -> np.ndarray:
    """Lines (G, P, 3) resampled to ``count`` points each, by linear interpolation."""
    place = np.linspace(0, lines.shape[1] - 1, count)
    low = np.minimum(place.astype(int), lines.shape[1] - 2)
    t = (place - low)[:, None]
    return lines[:, low] * (1 - t) + lines[:, low + 1] * t


def shortened(hairs: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Hairs (N, P, 3) up to a share ``end`` (N,) of each, with as many points."""
    row, place = np.arange(len(hairs))[:, None], end[:, None] * np.arange(hairs.shape[1])
    low = np.minimum(place.astype(np.int64), hairs.shape[1] - 2)
    return hairs[row, low] + (place - low)[..., None].astype(hairs.dtype) * (hairs[row, low + 1] - hairs[row, low])


def above(points: np.ndarray, height: float) -> np.ndarray:
    """Strands (G, P, 3), each cut where it first falls below a height in metres, and resampled."""
    over = points[..., 1] - height
    last = np.maximum((np.pad(over, ((0, 0), (0, 1)), constant_values=-1.0) < 0).argmax(1) - 1, 0)
    row, next_ = np.arange(len(points)), np.minimum(last + 1, points.shape[1] - 1)
    share = over[row, last] / np.maximum(over[row, last] - over[row, next_], 1e-9)
    end = np.minimum((last + np.clip(share, 0, 1)) / (points.shape[1] - 1), 1)
    return shortened(points, np.where(over[:, 0] < 0, 1, end))


def apart(places: np.ndarray, spacing: float) -> np.ndarray:
    """Numbers of places (N, 3), taken in random order, that are ``spacing`` from each other and close to none else."""
    order = np.random.default_rng(1).permutation(len(places))
    tree = cKDTree(places)
    free, chosen = np.ones(len(places), bool), []
    for number in order:
        if free[number]:
            chosen.append(number)
            free[tree.query_ball_point(places[number], spacing)] = False
    return np.array(chosen, int)
