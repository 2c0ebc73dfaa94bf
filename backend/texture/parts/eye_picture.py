"""Paint the image of both eyes for UV map ``Eye``: irises of 532 px with the person's colour and pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from backend.geometry.noise import gradient_noise
from backend.geometry.smoothstep import smoothstep
from backend.parallel import each
from backend.rendering.color import srgb_bytes
from backend.rig.eye_surfaces import IRIS_RADIUS
from backend.rig.measure import eye_angles
from backend.texture.parts.eye_colours import EyeColours
from backend.texture.parts.eye_map import eye_points
from backend.texture.parts.eyes import PUPIL_RADIUS, paint_eyeball
from backend.texture.parts.iris_pattern import IrisPattern
from backend.texture.unwrapping.atlas import pieces

EYE_SIDE = 1024
"""Pixels of one eye's half of the image."""
_UPPER_SHADE, _UPPER_REACH = 0.45, 0.0030
"""Share of the light that upper lid and lashes block at the lid's edge, and metres in which the shadow falls to a
third. A render's lids shade the eye too, but no viewport casts the lashes' shadow, and an eye without one stares. This
is about half of the full shadow."""
_LOWER_SHADE, _LOWER_REACH = 0.22, 0.0012  # the same for the lower lid
_FIBRES = ((0.035, 0.20, 31), (0.016, 0.16, 32))
"""Iris fibres that only the eyes' own image resolves: width around the iris in radii, log units, seed."""
_CRYPTS = 0.22  # log units by which the gaps between fibres are darker
_RING = 0.75  # log units by which the limbal ring is darker than the iris
_CAUSTIC_GRADIENT = 0.35
"""Gradient with which ``paint_eyeball`` brightens an iris's lower half, as a cornea does. Divided out here, because a
cornea is rendered."""


@dataclass(frozen=True)
class LidEdges:
    """Edges of one eye's lids, metres from the eye's centre: ``upper`` (U, 3) and ``lower`` (L, 3)."""

    upper: np.ndarray
    lower: np.ndarray


def eye_picture(
    colours: EyeColours,
    patterns: tuple[IrisPattern, IrisPattern],
    radii: tuple[float, float],
    lids: tuple[LidEdges, LidEdges],
    side: int = EYE_SIDE,
) -> np.ndarray:
    """Paint both eyes.

    Parameters
    ----------
    colours : of irises and sclera. patterns : of the left and the right iris. radii : of the two eyeballs, metres.
    lids : edges of the left and the right eye's lids.
    side : pixels of one half.

    Returns
    -------
    (side, 2 * side, 3) uint8 sRGB; the person's right eye is the left half.
    """

    def half(eye: int) -> np.ndarray:
        points = eye_points(side, radii[eye])
        picture = np.empty((len(points), 3), np.uint8)
        for piece in pieces(len(points)):
            picture[piece] = _painted_eye(points[piece], eye, colours, patterns[eye], lids[eye])
        return picture.reshape(side, side, 3)

    left, right = each(half, [0, 1])
    return np.concatenate([right, left], axis=1)


def _painted_eye(points: np.ndarray, eye: int, colours: EyeColours, pattern: IrisPattern, lids: LidEdges) -> np.ndarray:
    """(N, 3) uint8 sRGB of one eye's points (N, 3), metres from its centre."""
    linear = paint_eyeball(points, colours.iris, 5 + eye, colours.white)
    near = np.flatnonzero((points[:, 2] > 0) & (np.hypot(points[:, 0], points[:, 1]) < 1.15 * IRIS_RADIUS))
    linear[near] *= np.exp(_close_up(points[near], pattern, 40 + 10 * eye))
    return srgb_bytes(linear * _lid_shade(points, lids)[:, None])


def _lid_shade(points: np.ndarray, lids: LidEdges) -> np.ndarray:
    """(N,) share of the light that lids and lashes let through to eyeball points (N, 3). Points behind the lids get the
    value at the lid's edge."""
    azimuth, elevation, radius = eye_angles(points, np.zeros(3))
    share = np.ones(len(points))
    for lid, sign, shade, reach in (
        (lids.upper, 1.0, _UPPER_SHADE, _UPPER_REACH),
        (lids.lower, -1.0, _LOWER_SHADE, _LOWER_REACH),
    ):
        edge_azimuth, edge_elevation, _ = eye_angles(lid, np.zeros(3))
        order = np.argsort(edge_azimuth)
        smooth = CubicSpline(*_without_near_duplicates(edge_azimuth[order], edge_elevation[order]))
        edge = smooth(np.clip(azimuth, edge_azimuth.min(), edge_azimuth.max()))
        within = np.maximum(sign * (edge - elevation) * radius, 0.0)
        share *= 1.0 - shade * np.exp(-((within / reach) ** 1.5))
    return share


def _without_near_duplicates(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop entries closer than 1e-4 to the one before, from ascending places (N,) and their values."""
    kept = np.concatenate([[True], np.diff(places) > 1e-4])
    return places[kept], values[kept]


def _close_up(points: np.ndarray, pattern: IrisPattern, seed: int) -> np.ndarray:
    """(N, 3) log units added to the painted iris at points (N, 3): fibres, crypts, limbal ring, and the pattern from
    photos."""
    across = np.hypot(points[:, 0], points[:, 1])
    angle = np.arctan2(points[:, 1], points[:, 0])
    relative = np.clip((across - PUPIL_RADIUS) / (IRIS_RADIUS - PUPIL_RADIUS), 0.0, 1.0)
    place = np.stack([np.cos(angle), np.sin(angle), 0.22 * relative], 1)
    fibres = sum(size * gradient_noise(place, width, seed + number) for width, size, number in _FIBRES)
    wavy = np.stack([np.cos(angle), np.sin(angle), 0.9 * relative], 1)
    crypts = -_CRYPTS * smoothstep(0.25, 0.6, gradient_noise(wavy, 0.17, seed + 33)) * smoothstep(0.7, 0.3, relative)
    inside = smoothstep(0.02, 0.10, relative) * smoothstep(1.0, 0.90, across / IRIS_RADIUS)
    ring = -_RING * np.exp(-(((across / IRIS_RADIUS - 0.97) / 0.07) ** 2))
    even = -np.log(1.0 - _CAUSTIC_GRADIENT * points[:, 1] / IRIS_RADIUS) * smoothstep(1.05, 0.95, across / IRIS_RADIUS)
    tone, seen = pattern.at(points[:, 0] / IRIS_RADIUS, points[:, 1] / IRIS_RADIUS)
    made = (fibres + crypts) * inside + ring + even
    return made[:, None] + tone * seen[:, None]
