"""Distinguish photographs from drawings, and colour from black and white."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

CLASSIFIER_PATH = Path(__file__).parent / "drawing_classifier.npz"


_SIDE = 64
_RINGS = 14
_CELLS = 4
_ORIENTATIONS = 8


def hue_spread(face: np.ndarray) -> float:
    """Variation of the colours of (S, S, 3) uint8 pixels that is independent of brightness, in 8-bit levels.

    The smaller singular value of the chroma's (Cb, Cr) covariance, as a standard deviation: 0 for black and white, and
    for a print toned in one hue, whose chroma lies on a line.
    """
    chroma = cv2.cvtColor(face, cv2.COLOR_RGB2YCrCb)[..., 1:].reshape(-1, 2).astype(np.float64)
    brightness = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).reshape(-1, 1).astype(np.float64)
    design = np.concatenate([brightness, np.ones_like(brightness)], axis=1)
    rest = chroma - design @ np.linalg.lstsq(design, chroma, rcond=None)[0]
    return float(np.linalg.norm(rest.std(axis=0)))


def drawing_features(face: np.ndarray) -> np.ndarray:
    """(F,) float64 features of a face square (S, S, 3) uint8: its fine structure's distribution over scales and
    directions.

    Engravings consist of lines of one spacing and few directions, also on skin. Paintings lack the noise and the
    specular points of photographs.
    """
    grey = cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    grey = grey.astype(np.float64)
    grey = (grey - grey.mean()) / max(grey.std(), 4.0)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 2.0)
    window = np.outer(np.hanning(_SIDE), np.hanning(_SIDE))
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * window))) ** 2
    rows, columns = np.mgrid[:_SIDE, :_SIDE] - _SIDE // 2
    ring = np.minimum((np.hypot(rows, columns) / (_SIDE / 2) * _RINGS).astype(int), _RINGS)
    spectrum = np.array([np.log(power[ring == index].mean() + 1e-3) for index in range(_RINGS)])
    peaks = np.array([np.log(power[ring == index].max() / power[ring == index].mean()) for index in range(_RINGS)])
    cell = _SIDE // _CELLS
    blocks = detail.reshape(_CELLS, cell, _CELLS, cell).transpose(0, 2, 1, 3).reshape(_CELLS**2, -1)
    energy = np.log(blocks.std(axis=1) + 0.02)
    peaked = np.log((blocks**4).mean(axis=1) / ((blocks**2).mean(axis=1) ** 2 + 1e-6) + 0.1)
    across, down = np.gradient(grey, axis=1), np.gradient(grey, axis=0)
    size, turn = np.hypot(across, down), np.arctan2(down, across) % np.pi
    bins = np.minimum((turn / np.pi * _ORIENTATIONS).astype(int), _ORIENTATIONS - 1)
    directions = []
    for row in range(0, _SIDE, 2 * cell):
        for column in range(0, _SIDE, 2 * cell):
            part = np.s_[row : row + 2 * cell, column : column + 2 * cell]
            histogram = np.bincount(bins[part].ravel(), weights=size[part].ravel(), minlength=_ORIENTATIONS)
            directions.append(histogram / histogram.sum().clip(1e-6))
    levels = np.histogram(grey, bins=16, range=(-2.5, 2.5))[0] / grey.size
    colour = np.array([np.log1p(hue_spread(face)), np.log1p(cv2.cvtColor(face, cv2.COLOR_RGB2HSV)[..., 1].mean())])
    return np.concatenate([spectrum, peaks, energy, peaked, np.concatenate(directions), np.sqrt(levels), colour])


def drawing_chance(face: np.ndarray) -> float:
    """Probability, 0 to 1, that a face square (S, S, 3) uint8 shows a drawing, an engraving or a painting.

    A logistic regression on ``drawing_features``, fitted to portraits that were sorted by eye
    (``python -m trainer.data.portraits.fit_drawings``).
    """
    mean, scale, weights, bias = _classifier()
    score = ((drawing_features(face) - mean) / scale) @ weights + bias
    return float(1 / (1 + np.exp(-np.clip(score, -30, 30))))


@lru_cache(maxsize=1)
def _classifier() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    with np.load(CLASSIFIER_PATH, allow_pickle=False) as data:
        return (
            data["mean"].astype(np.float64),
            data["scale"].astype(np.float64),
            data["weights"].astype(np.float64),
            float(data["bias"]),
        )
