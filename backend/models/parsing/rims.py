"""Rims of glasses: two equal outlines, one around each eye, fitted to a net's probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from backend.photos.faces.landmarks import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, landmark_window
from backend.photos.regions.polygons import EYE_RIGHT, mirrored

_WIDTHS = (0.68, 0.76, 0.84, 0.92, 1.0, 1.1)  # half a lens's width in eye widths
_HEIGHTS = (0.5, 0.6, 0.7, 0.8, 0.92)  # of its width
_OUTWARDS = (-0.06, 0.03, 0.12)  # of its centre, in eye widths
_DOWN = (-0.08, 0.04, 0.16, 0.28)
_POWERS = (2.0, 2.8, 4.5)  # exponents of the superellipse
_POINTS = 40
_FRACTION_BITS = 4
_CONTROL_SIZES = (0.72, 1.28)  # sizes of the control curves inside and outside of the rim
_BLUR, _HALF_WIDTH = 0.008, 0.014  # heights of the face
_LEAST_CONTRAST = 0.06
"""Least difference of the mean probability on the rims and beside them."""
_LENS_SIZE = 0.84  # of a rim's size: surely inside, even with thick rims


@dataclass(frozen=True)
class Rims:
    """Masks of glasses.

    Attributes
    ----------
    band : (S, S) bool along both rims and the bridge. lenses : (S, S) bool within the rims, beside the band.
    """

    band: np.ndarray
    lenses: np.ndarray


def find_rims(probability: np.ndarray, landmarks: np.ndarray) -> Rims | None:
    """Both rims and the bridge of glasses, fitted to their ``probability`` (S, S).

    landmarks (478, 2 or 3) in its pixels. Both lenses have one shape, scaled by the apparent width of their eye (which
    is narrower on the far side of a turned face), so that half a visible frame determines the other half. None where no
    outline stands out, as for specks or lenses that are dark all over.
    """
    size = landmark_window(landmarks, 1.0).side
    blurred = gaussian_filter(probability.astype(np.float32), max(0.6, _BLUR * size))
    right, left = landmarks[EYE_OUTER_RIGHT, :2], landmarks[EYE_OUTER_LEFT, :2]
    along = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)  # to the person's left
    down = np.array([-along[1], along[0]])
    unit = 0.0
    places = []
    for part, outwards in ((EYE_RIGHT, -along), (mirrored(EYE_RIGHT), along)):
        outline = landmarks[list(part), :2]
        width = float(np.ptp(outline @ along))
        unit = max(unit, width)
        places.append((outline.mean(axis=0), outwards * width))
    curves = _curves()  # (K, 3, P, 2): rim, inside, outside; outwards in eye widths, down in the nearer eye's
    found = np.zeros(curves.shape[:2])
    for middle, outwards in places:
        points = middle + curves[..., :1] * outwards + curves[..., 1:] * (down * unit)
        sampled = map_coordinates(blurred, points[..., ::-1].transpose(3, 0, 1, 2) - 0.5, order=1, mode="nearest")
        found += sampled.mean(axis=-1) / 2
    score = found[:, 0] - found[:, 1:].mean(axis=1)
    best = int(score.argmax())
    if score[best] < _LEAST_CONTRAST:
        return None
    side = probability.shape[0]
    band, lenses = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    thickness = max(1, round(2 * _HALF_WIDTH * size))
    for middle, outwards in places:
        rim = middle + curves[best, 0, :, :1] * outwards + curves[best, 0, :, 1:] * (down * unit)
        _draw(band, rim, thickness, closed=True)
        lens = rim.mean(axis=0) + _LENS_SIZE * (rim - rim.mean(axis=0))
        cv2.fillPoly(lenses, [_subpixels(lens)], 1, shift=_FRACTION_BITS)
    inner = [
        middle + (curves[best, 0, :, 0].min() * outwards) + curves[best, 0, :, 1].mean() * 0.5 * down * unit
        for middle, outwards in places
    ]
    _draw(band, np.stack(inner), 2 * thickness, closed=False)
    return Rims(band.astype(bool), lenses.astype(bool) & ~band.astype(bool))


def _draw(band: np.ndarray, points: np.ndarray, thickness: int, *, closed: bool) -> None:
    cv2.polylines(band, [_subpixels(points)], closed, 1, thickness, shift=_FRACTION_BITS)


def _subpixels(points: np.ndarray) -> np.ndarray:
    return np.round((points - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)


@cache
def _curves() -> np.ndarray:
    """(K, 3, P, 2) all candidate outlines, each with its two control curves."""
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    curves = []
    for power in _POWERS:
        cos, sin = (np.sign(x) * np.abs(x) ** (2 / power) for x in (np.cos(angle), np.sin(angle)))
        for width in _WIDTHS:
            for height in _HEIGHTS:
                shape = np.stack([cos * width, sin * width * height], -1)
                for outwards in _OUTWARDS:
                    for down in _DOWN:
                        place = np.array([outwards, down])
                        curves.append(np.stack([shape * factor + place for factor in (1.0, *_CONTROL_SIZES)]))
    return np.stack(curves)
