"""The colour of this face's skin in this light, learned from the photo itself, and how well each pixel fits it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_DARK_OFFSET = 0.02  # linear; keeps the logarithm of noisy dark pixels calm
_ROUNDS = 4
_INLIER_DISTANCE = 2.5
_MIN_SPREAD = np.array([0.12, 0.035, 0.05])  # log luminance, log R/G, log B/G
_MAX_SPREAD = np.array([0.35, 0.10, 0.14])
_RIDGE = np.array([0.0] + [0.02] * 2 + [0.1] * 3 + [0.01] * 2 + [0.03] * 3)  # per sample, per term of the design
_MAX_SAMPLES = 6000


@dataclass(frozen=True)
class SkinModel:
    """Skin colour as a smooth function of the place on the face and of the surface's direction (the light).

    Attributes
    ----------
    surface : (11, 3) coefficients over (1, u, v, u², v², uv, n_x, n_y, n_x², n_y², n_x n_y) of log luminance, log R/G
        and log B/G; n is the normal.
    spread : (3,) robust standard deviations around the surface.
    centre, unit : u, v = (pixel - centre) / unit.
    """

    surface: np.ndarray
    spread: np.ndarray
    centre: np.ndarray
    unit: float

    def residual(self, features: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(H, W, 3) difference of ``skin_features`` (H, W, 3) from the surface, in standard deviations.

        ``normals`` (H, W, 2) are the x and y of the face's normals.
        """
        rows, columns = np.mgrid[: features.shape[0], : features.shape[1]].astype(np.float32) + np.float32(0.5)
        points = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        design = _design(points, normals.reshape(-1, 2), self.centre.astype(np.float32), np.float32(self.unit))
        expected = (design @ self.surface.astype(np.float32)).reshape(features.shape)
        return (features - expected) / self.spread.astype(np.float32)


def skin_features(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 log luminance, log R/G, log B/G of (H, W, 3) uint8 sRGB pixels, in linear light."""
    linear = _linear_levels()[pixels]
    logs = np.log(linear + np.float32(_DARK_OFFSET))
    luminance = np.log(linear @ np.array([0.2126, 0.7152, 0.0722], np.float32) + np.float32(_DARK_OFFSET))
    return np.stack([luminance, logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], axis=-1)


@cache
def _linear_levels() -> np.ndarray:
    """(256,) float32 linear light of each sRGB level."""
    values = np.arange(256) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def learn_skin(
    features: np.ndarray, normals: np.ndarray, seeds: np.ndarray, oval: np.ndarray, monochrome: bool
) -> SkinModel:
    """Fit the skin's colour by trimmed least squares: on ``seeds`` (H, W) bool, then on all of ``oval`` that fits.

    ``features`` (H, W, 3) are those of ``skin_features``, ``normals`` (H, W, 2) the face's. In a monochrome picture
    the chroma says nothing and its spread is opened.
    """
    points = _sample(oval)
    at_seed = seeds[points[:, 1], points[:, 0]]
    values = features[points[:, 1], points[:, 0]]
    centre, unit = points.mean(axis=0) + 0.5, max(1.0, float(np.ptp(points, axis=0).max()) / 2)
    design = _design(points + 0.5, normals[points[:, 1], points[:, 0]], centre, unit)
    inliers = at_seed if at_seed.sum() >= 30 else np.ones(len(points), dtype=bool)
    seed_values = values[inliers]
    median = np.median(seed_values, axis=0)
    inliers = inliers & (np.abs(values - median) < 3 * np.maximum(_mad(seed_values), _MIN_SPREAD)).all(axis=1)
    surface, spread = np.zeros((len(_RIDGE), 3)), _MAX_SPREAD
    for _ in range(_ROUNDS):
        if inliers.sum() < 20:
            surface = np.zeros((len(_RIDGE), 3))
            surface[0] = median
            break
        chosen = design[inliers]
        offset = np.median(values[inliers], axis=0)
        normal = chosen.T @ chosen + np.diag(_RIDGE * inliers.sum())
        surface = np.linalg.solve(normal, chosen.T @ (values[inliers] - offset))
        surface[0] += offset
        error = values - design @ surface
        spread = np.clip(_mad(error[inliers]), _MIN_SPREAD, _MAX_SPREAD)
        distance = np.sqrt(((error / spread) ** 2).mean(axis=1) * 3)
        inliers = distance < _INLIER_DISTANCE + 0.5
    if monochrome:
        spread = spread * [1.0, 50.0, 50.0]
    return SkinModel(surface, spread, centre, unit)


def local_contrast(features: np.ndarray, radius: float) -> np.ndarray:
    """(H, W) standard deviation of log luminance within about ``radius`` pixels: strands of hair, beards, frames."""
    level = features[..., 0].astype(np.float32)
    mean = cv2.GaussianBlur(level, (0, 0), radius)
    return np.sqrt(np.maximum(cv2.GaussianBlur(level * level, (0, 0), radius) - mean * mean, 0))


def _sample(mask: np.ndarray) -> np.ndarray:
    """(N, 2) x, y of at most ``_MAX_SAMPLES`` pixels, spread evenly."""
    rows, columns = np.nonzero(mask)
    step = max(1, int(np.sqrt(len(rows) / _MAX_SAMPLES)))
    kept = (rows % step == 0) & (columns % step == 0)
    return np.stack([columns[kept], rows[kept]], axis=1)


def _design(points: np.ndarray, normals: np.ndarray, centre: np.ndarray, unit: float) -> np.ndarray:
    """(N, 11) terms; beyond the face the place is held, so that the surface does not run away."""
    u, v = np.clip((points - centre) / unit, -1.15, 1.15).T
    x, y = normals.T
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, x, y, x * x, y * y, x * y], axis=1)


def _mad(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation per column."""
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
