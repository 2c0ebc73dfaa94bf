"""Edges of a strip of the face as histograms of oriented gradients (Dalal and Triggs 2005), for linear classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from backend.asset_file import read_table
from backend.assets import ASSETS
from backend.photos.faces.landmarks import EYE_OUTER_LEFT, EYE_OUTER_RIGHT
from backend.photos.faces.sampling import Window

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
    """The classifier ``assets/parsing/NAME.npz`` that ``trainer.classifiers.portrait_statistics`` made."""
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
