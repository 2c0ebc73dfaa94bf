"""Colour model of this face's skin in this light, learned from the photo itself, and each pixel's residual."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.rendering.color import LUMINANCE, linear_from_srgb

_MONOCHROME = 0.02  # spread of log ratios of a face's colours below which a picture is black and white
_DARK_OFFSET = 0.02  # linear; bounds the logarithm of noisy dark pixels
_ROUNDS = 4
_INLIER_DISTANCE = 3.0
SHADING_EASE = 2.0  # divisor of brightness differences, because shading does not change the material
_TINT_LOW, _TINT_HIGH = np.array([-0.35, 0.0]), np.array([0.0, 0.3])
_TINT_PRIOR, _TINT_REACH = 0.005, 1.5
_MIN_SPREAD = np.array([0.12, 0.035, 0.05])  # log luminance, log R/G, log B/G
_MAX_SPREAD = np.array([0.35, 0.10, 0.14])
_RIDGE = np.array([0.0] + [0.02] * 2 + [0.1] * 3 + [0.01] * 2 + [0.03] * 3)  # per sample, per term of the design
_MAX_SAMPLES = 6000


@dataclass(frozen=True)
class SkinModel:
    """Skin colour as a smooth function of the place on the face and of the normal (which gives the light).

    Attributes
    ----------
    surface : (11, 3) coefficients over (1, u, v, u², v², uv, n_x, n_y, n_x², n_y², n_x n_y) of log luminance, log R/G
        and log B/G; n is the normal.
    tint : (2,) change of log R/G and log B/G per log luminance: skin is redder in the shade.
    level : log luminance at which the tint is zero.
    spread : (3,) robust standard deviations around the surface.
    centre, unit : u, v = (pixel - centre) / unit.
    """

    surface: np.ndarray
    tint: np.ndarray
    level: float
    spread: np.ndarray
    centre: np.ndarray
    unit: float

    def residual(self, features: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """(H, W, 3) residuals of ``skin_features`` (H, W, 3) from the surface, in standard deviations.

        ``normals`` (H, W, 2) are the x and y of the face's normals.
        """
        rows, columns = np.mgrid[: features.shape[0], : features.shape[1]].astype(np.float32) + np.float32(0.5)
        points = np.stack([columns, rows], axis=-1).reshape(-1, 2)
        design = _design(points, normals.reshape(-1, 2), self.centre.astype(np.float32), np.float32(self.unit))
        expected = (design @ self.surface.astype(np.float32)).reshape(features.shape)
        untinted = _without_tint(features, self.tint.astype(np.float32), self.level)
        return (untinted - expected) / self.spread.astype(np.float32)


def skin_features(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 log luminance, log R/G, log B/G of (H, W, 3) uint8 sRGB pixels, in linear light."""
    linear = linear_from_srgb(pixels)
    logs = np.log(linear + np.float32(_DARK_OFFSET))
    luminance = np.log(linear @ np.array(LUMINANCE, np.float32) + np.float32(_DARK_OFFSET))
    return np.stack([luminance, logs[..., 0] - logs[..., 1], logs[..., 2] - logs[..., 1]], axis=-1)


def without_colour(face: np.ndarray) -> bool:
    """Whether a picture is black and white, by the ``skin_features`` (P, 3) of its face."""
    return float(np.abs(face[:, 1:]).std(axis=0).max(initial=0.0)) < _MONOCHROME


def learn_skin(
    features: np.ndarray, normals: np.ndarray, seeds: np.ndarray, oval: np.ndarray, monochrome: bool
) -> SkinModel:
    """Fit the skin's colour by trimmed least squares: on ``seeds`` (H, W) bool, then on all inliers of ``oval``.

    ``features`` (H, W, 3) are those of ``skin_features``, ``normals`` (H, W, 2) the face's. In a monochrome picture
    chroma is uninformative and its spread is widened.
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
    surface, tint, spread = np.zeros((len(_RIDGE), 3)), np.zeros(2), _MAX_SPREAD
    surface[0] = median
    for _ in range(_ROUNDS):
        if inliers.sum() < 20:
            break
        tint = _fit_tint(design[inliers], values[inliers])
        untinted = _without_tint(values, tint, median[0])
        surface = _fit_surface(design[inliers], untinted[inliers])
        error = untinted - design @ surface
        spread = np.clip(_mad(error[inliers]), _MIN_SPREAD, _MAX_SPREAD)
        inliers = (((error / spread) * [1 / SHADING_EASE, 1, 1]) ** 2).sum(axis=1) < _INLIER_DISTANCE**2
    if monochrome:
        spread = spread * [1.0, 50.0, 50.0]
    return SkinModel(surface, tint, float(median[0]), spread, centre, unit)


def _fit_surface(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(11, C) ridge regression of ``values`` (N, C) on ``design`` (N, 11), shrunk towards the median."""
    offset = np.median(values, axis=0)
    normal = design.T @ design + np.diag(_RIDGE * len(design))
    surface = np.linalg.solve(normal, design.T @ (values - offset))
    surface[0] += offset
    return surface


def _fit_tint(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(2,) slopes of log R/G and log B/G over log luminance at equal place and normal, within bounds."""
    rest = values - design @ _fit_surface(design, values)
    slope = (rest[:, :1] * rest[:, 1:]).sum(axis=0) / ((rest[:, 0] ** 2).sum() + _TINT_PRIOR * len(rest))
    return np.clip(slope, _TINT_LOW, _TINT_HIGH)


def _without_tint(features: np.ndarray, tint: np.ndarray, level: float) -> np.ndarray:
    """``features`` (..., 3) with the chroma normalised to the log luminance ``level``."""
    change = np.clip(features[..., :1] - level, -_TINT_REACH, _TINT_REACH) * tint
    return np.concatenate([features[..., :1], features[..., 1:] - change], axis=-1)


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
    """(N, 11) terms; the place is clamped beyond the face, so that the surface does not extrapolate."""
    u, v = np.clip((points - centre) / unit, -1.15, 1.15).T
    x, y = normals.T
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v, x, y, x * x, y * y, x * y], axis=1)


def _mad(values: np.ndarray) -> np.ndarray:
    """Robust standard deviation per column."""
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
