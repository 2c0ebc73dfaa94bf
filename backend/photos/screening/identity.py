"""Light identity descriptor: estimates whether two photos show the same person.

It is a histogram of oriented gradients (Dalal and Triggs 2005) of the frontalised face after the contrast normalisation
of Tan and Triggs (2010), projected by linear discriminant analysis. It separates most people, not all: decisions need
several photos or a wide margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import cv2
import numpy as np

from backend.asset_file import read_table
from backend.assets import ASSETS
from backend.photos.faces.frontal_texture import FRONTAL_SIDE, frontal_grid, frontal_texture
from backend.photos.faces.landmarks import landmark_window
from backend.photos.faces.sampling import Window

_CELL, _BINS = 8, 8
_WINDOW_SIDE, _WINDOW_PER_FACE = 192, 1.25
"""Pixels, and face sizes: the projection was trained on histograms of these cells, bins and windows."""


@dataclass(frozen=True)
class Evidence:
    """Thresholds for similarities, measured on pairs of portraits of people outside the training set.

    Attributes
    ----------
    same, different : medians for two photos of one person and of two people.
    stranger : a face with a lower mean similarity to a consistent group shows another person.
    consistent : a group with a higher mean similarity shows one person.
    """

    same: float
    different: float
    stranger: float
    consistent: float


class IdentityModel(Protocol):
    """Describes faces by vectors and compares them."""

    evidence: Evidence

    def describe(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(D,) vector of the face with landmarks (478, 3) in (H, W, 3) pixels."""

    def similarities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, N) similarity of each pair of the vectors (N, D); larger is more alike."""


class GradientIdentity:
    """128-D descriptor; similarity is the cosine."""

    evidence = Evidence(same=0.32, different=0.03, stranger=0.06, consistent=0.18)

    def describe(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(128,) unit vector of the face with landmarks (478, 3) in (H, W, 3) pixels."""
        mean, projection = _projection()
        vector = (gradient_histogram(pixels, landmarks) - mean) @ projection
        return vector / max(float(np.linalg.norm(vector)), 1e-9)

    def similarities(self, vectors: np.ndarray) -> np.ndarray:
        """(N, N) cosines of vectors (N, D)."""
        return vectors @ vectors.T


def gradient_histogram(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(800,) float32: square roots of normalised gradient-orientation histograms in 8 x 8 pixel cells on the face."""
    window = landmark_window(landmarks, _WINDOW_PER_FACE)
    window = Window(window.centre, window.side)  # upright; the frontal view removes the rotation
    face = window.cut(pixels, _WINDOW_SIDE)
    inside = np.array(landmarks, dtype=np.float64)
    inside[:, :2] = (inside[:, :2] - window.centre + window.side / 2) * (_WINDOW_SIDE / window.side)
    grey = _flatten_light(frontal_texture(face, inside))
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    grid_inside = frontal_grid().inside
    strength = np.hypot(across, down) * grid_inside
    place = np.arctan2(down, across) % (2 * np.pi) / (2 * np.pi) * _BINS
    cells = FRONTAL_SIDE // _CELL
    histogram = np.empty((cells, cells, _BINS), np.float32)
    for index in range(_BINS):
        apart = np.abs((place - index + _BINS / 2) % _BINS - _BINS / 2)
        part = cv2.GaussianBlur((np.clip(1 - apart, 0, 1) * strength).astype(np.float32), (0, 0), _CELL / 3)
        histogram[..., index] = cv2.resize(part, (cells, cells), interpolation=cv2.INTER_AREA)
    histogram = np.sqrt(histogram / (histogram.sum(axis=-1, keepdims=True) + 1e-3) + 1e-9)
    covered = cv2.resize(grid_inside.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA) > 0.5
    return histogram[covered].ravel()


def _flatten_light(grey: np.ndarray) -> np.ndarray:
    """Normalise lighting: gamma, difference of Gaussians, local contrast normalisation (Tan and Triggs 2010)."""
    bright = (grey / 255) ** 0.3
    detail = cv2.GaussianBlur(bright, (0, 0), 1) - cv2.GaussianBlur(bright, (0, 0), 4)
    return detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 8)) + 0.01)


@cache
def _projection() -> tuple[np.ndarray, np.ndarray]:
    """Mean (800,) and projection (800, 128), made by ``trainer.classifiers.portrait_statistics``."""
    data = read_table(ASSETS / "photos" / "identity_projection.npz")
    projection = data["projection"].astype(np.float32) * data["scale"].astype(np.float32)
    return data["mean"].astype(np.float32), projection
