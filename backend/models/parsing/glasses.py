"""Glasses in a photo: evidence by edges, rims, brows behind thin frames.

Edges of a strip of the face as histograms of oriented gradients (Dalal and Triggs 2005), for linear classifiers.

Detection of glasses by edges.

Rims of glasses: two equal outlines, one around each eye, fitted to a net's probabilities.

Brows behind glasses with thin frames, which the labels hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from backend.photos.collection import FaceClass
from backend.photos.faces import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, Window, landmark_window
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, grown, mirrored, polygon_mask
from backend.rendering.color import linear_from_srgb
from backend.rendering.interpolate import sample_exactly
from backend.system.assets import ASSETS
from backend.system.files import read_table

_WIDTH, _HEIGHT = 128, 64
_BINS = 8
_CELLS = (16, 8)


@dataclass(frozen=True)
class EdgeStrip:
    """Features of a strip of 16 x 8 cells.

    Attributes
    ----------
    edges : (1024,) float32, normalised histograms of undirected gradients, eight directions a cell.
    tones : (128,) float32, mean grey level of each cell in standard deviations of the strip's.
    """

    edges: np.ndarray
    tones: np.ndarray


@dataclass(frozen=True)
class LinearClassifier:
    """Log odds ``(x - mean) @ weights + bias`` of features x (F,); mean (F,), weights (F,)."""

    mean: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, features: np.ndarray) -> float:
        """Log odds of one row of features (F,)."""
        return float((features - self.mean) @ self.weights + self.bias)


@cache
def load_classifier(name: str) -> LinearClassifier:
    """The classifier ``assets/parsing/NAME.npz`` that ``trainer.methods.parsing.portrait_statistics`` made."""
    data = read_table(ASSETS / "parsing" / f"{name}.npz")
    return LinearClassifier(data["mean"].astype(np.float32), data["weights"].astype(np.float32), float(data["bias"]))


def eye_line_angle(landmarks: np.ndarray) -> float:
    """Angle in radians of the line through the outer corners of the eyes in the picture."""
    across = landmarks[EYE_OUTER_LEFT, :2] - landmarks[EYE_OUTER_RIGHT, :2]
    return float(np.arctan2(across[1], across[0]))


def edge_strip(pixels: np.ndarray, centre: np.ndarray, width: float, angle: float) -> EdgeStrip:
    """The strip around ``centre`` (2,) of (H, W, 3) sRGB pixels, ``width`` wide, half as high, rotated by ``angle``."""
    square = Window((float(centre[0]), float(centre[1])), width, angle).cut(pixels, _WIDTH)
    margin = (_WIDTH - _HEIGHT) // 2
    grey = cv2.cvtColor(square[margin : margin + _HEIGHT], cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(np.sqrt(grey / 255), (0, 0), 0.8)
    grey = (grey - grey.mean()) / (grey.std() + 0.02)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    place = (np.arctan2(down, across) % np.pi) / np.pi * _BINS
    histogram = np.empty((_CELLS[1], _CELLS[0], _BINS), np.float32)
    for index in range(_BINS):
        apart = np.abs((place - index + _BINS / 2) % _BINS - _BINS / 2)
        part = cv2.GaussianBlur((np.clip(1 - apart, 0, 1) * strength).astype(np.float32), (0, 0), 3)
        histogram[..., index] = cv2.resize(part, _CELLS, interpolation=cv2.INTER_AREA)
    typical = np.sqrt((histogram**2).sum(axis=-1)).mean()
    edges = np.sqrt(histogram / (typical + histogram.sum(axis=-1, keepdims=True) * 0.5 + 0.05)).ravel()
    return EdgeStrip(edges, cv2.resize(grey, _CELLS, interpolation=cv2.INTER_AREA).ravel())


_STRIP_PER_FACE = 0.95
_LOWERED = 0.06  # of the face's height: distance of the strip's centre below the eyes


def glasses_score(pixels: np.ndarray, landmarks: np.ndarray) -> float:
    """Log odds that the face with landmarks (478, 3) in (H, W, 3) sRGB pixels wears glasses, by its edges.

    A linear classifier on oriented gradients of the strip around the eyes, trained on hand-labelled portraits
    (``trainer.methods.parsing.portrait_statistics``).
    """
    return load_classifier("glasses_classifier").log_odds(strip_histogram(pixels, landmarks))


def strip_histogram(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(1024,) float32: the edges of the strip around the eyes (``edge_strip``)."""
    angle = eye_line_angle(landmarks)
    size = landmark_window(landmarks, 1.0).side
    middle = (landmarks[EYE_OUTER_RIGHT, :2] + landmarks[EYE_OUTER_LEFT, :2]) / 2
    centre = middle + np.array([-np.sin(angle), np.cos(angle)]) * _LOWERED * size
    return edge_strip(pixels, centre, _STRIP_PER_FACE * size, angle).edges


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
        sampled = sample_exactly(blurred, points)
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


_CLEAR_SHARE = 0.5  # of an eye's outline
_FRAME_DARKNESS, _THICK_SHARE = 0.8, 0.38
"""Log units by which a dark frame is darker than skin; least share of its label if it is thick. A wire's label is
mostly skin: 0.05 to 0.32 of it is so dark on 24 photos of three people, but 0.43 to 0.72 on 17 of two with thick
frames."""
_AROUND_BROWS, _BESIDE_BROWS = 0.2, 0.03  # heights of the face
_BROW_DARKNESS, _BROW_HUE = (
    0.35,
    0.35,
)  # log units: least darkness of a brow behind a frame against skin; tolerance of its hue


def brows_behind_glasses(labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) in which dark brow-coloured pixels behind thin frames and clear lenses are BROWS.

    The label of a wire frame is several times as thick as the wire, and often overlaps a brow's lower edge. Frames
    count as thin where few pixels of their label beside the brows are very dark, lenses as clear where the eyes behind
    them are labelled as eyes. pixels (S, S, 3) uint8 sRGB; landmarks (478, 2 or 3) in them.
    """
    side = labels.shape[0]
    skin, glasses = labels == FaceClass.SKIN, labels == FaceClass.GLASSES
    if not glasses.any() or not skin.any():
        return labels
    brows = np.zeros(labels.shape, bool)
    for brow, eye in ((BROW_RIGHT, EYE_RIGHT), (mirrored(BROW_RIGHT), mirrored(EYE_RIGHT))):
        behind = labels[polygon_mask(landmarks, eye, side)]
        if (behind == FaceClass.EYES).sum() >= _CLEAR_SHARE * max(len(behind), 1):
            brows |= polygon_mask(landmarks, brow, side)
    size = landmark_window(landmarks, 1.0).side
    around, frame = grown(brows, _AROUND_BROWS * size) & skin, glasses & ~grown(brows, _BESIDE_BROWS * size)
    if not around.any() or not frame.any():
        return labels
    log = np.log(np.maximum(linear_from_srgb(pixels), 1e-3))
    typical = np.median(log[around], axis=0)
    darker = typical.mean() - log.mean(-1)
    if (darker[frame] > _FRAME_DARKNESS).mean() > _THICK_SHARE:
        return labels
    hue = typical - typical.mean()
    own = log - log.mean(-1, keepdims=True)
    share = np.clip(own @ hue / max(float(hue @ hue), 1e-6), 0.0, 1.0)  # position between grey and the skin's hue
    plain = np.linalg.norm(own - share[..., None] * hue, axis=-1) < _BROW_HUE
    return np.where(brows & glasses & (darker > _BROW_DARKNESS) & plain, np.uint8(FaceClass.BROWS), labels)
