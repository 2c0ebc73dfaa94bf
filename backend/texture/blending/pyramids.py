"""Filling and blending of masked images: normalised convolution, push-pull, Laplacian pyramids.

The pyramid blend is Burt and Adelson's ("A multiresolution spline with application to image mosaics", 1983) with one
change: what is blended are residuals over a common base, so that a photo contributes zero, not an edge, where it does
not see the surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np


def channel_mean(image: np.ndarray) -> np.ndarray:
    """Mean over the last axis of three channels; several times as fast as ``mean(-1)``."""
    return (image[..., 0] + image[..., 1] + image[..., 2]) * np.float32(1 / 3)


def masked_lowpass(values: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian mean of the weighted pixels (normalised convolution, Knutsson and Westin 1993).

    Parameters
    ----------
    values : (H, W, C) float32; weights : (H, W) float32, 0 where the value means nothing; sigma : pixels.

    Returns
    -------
    mean : (H, W, C) float32, 0 where nothing is near; support : (H, W) float32, the blurred weights.
    """
    step = 1
    while sigma / (2 * step) >= 3.0 and min(weights.shape) // (2 * step) >= 16:
        step *= 2
    weighted = values * weights[..., None]
    stacked = np.concatenate([weighted, weights[..., None]], axis=2)  # (H, W, C + 1)
    height, width = weights.shape
    small = stacked if step == 1 else cv2.resize(stacked, (width // step, height // step), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / step, borderType=cv2.BORDER_CONSTANT)
    if step > 1:
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    support = small[..., -1]
    return small[..., :-1] / np.maximum(support, 1e-6)[..., None] * (support > 1e-6)[..., None], support


def push_pull(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fill pixels of low weight from their surroundings (Gortler et al., "The Lumigraph", 1996).

    Parameters
    ----------
    values : (H, W, C) float32; weights : (H, W) float32 in [0, 1]; at 1 a pixel keeps its value exactly.

    Returns
    -------
    (H, W, C) float32 without holes, provided any weight is positive.
    """
    weights = np.clip(weights.astype(np.float32), 0.0, 1.0)
    height, width = weights.shape
    if min(height, width) <= 1 or weights.min() >= 1.0:
        total = max(float(weights.sum()), 1e-12)
        mean = (values * weights[..., None]).sum((0, 1)) / total
        return np.where(weights[..., None] > 0, values, mean.astype(np.float32)) if weights.min() < 1.0 else values
    half = ((width + 1) // 2, (height + 1) // 2)
    weighted = cv2.resize(
        np.concatenate([values * weights[..., None], weights[..., None]], 2), half, interpolation=cv2.INTER_AREA
    )
    area = weighted[..., -1]
    coarse_values = weighted[..., :-1] / np.maximum(area, 1e-8)[..., None]
    coarse = push_pull(coarse_values, np.minimum(area * 4.0, 1.0))
    filled = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return values * weights[..., None] + filled * (1.0 - weights[..., None])


def gaussian_pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """``levels`` images, each half the one before."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _up(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    return cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0]))


@dataclass(frozen=True)
class WeightedBands:
    """One photo's bands, the finest first: band times weight (h, w, C), and weight (h, w) of each."""

    bands: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]


class ResidualBlender:
    """Multi-band blending of residual images, one photo at a time, so that memory does not grow with their number.

    Parameters
    ----------
    size : (height, width) of the images; levels : bands, the coarsest keeps what is left.
    """

    def __init__(self, size: tuple[int, int], levels: int) -> None:
        self._levels = levels
        self._sums: list[np.ndarray] | None = None
        self._weights: list[np.ndarray] = []
        self._size = size

    def bands(self, residual: np.ndarray, weight: np.ndarray) -> WeightedBands:
        """One photo's bands: ``residual`` (H, W, C) float32, zero where unseen; ``weight`` (H, W) float32 >= 0."""
        if residual.shape[:2] != self._size or weight.shape != self._size:
            raise ValueError(f"expected images of size {self._size}, got {residual.shape} and {weight.shape}")
        weights = gaussian_pyramid(weight, self._levels)
        gaussians = gaussian_pyramid(residual, self._levels)
        bands = [fine - _up(coarse, fine) for fine, coarse in pairwise(gaussians)]
        bands.append(gaussians[-1])
        for band, w in zip(bands, weights, strict=True):
            band *= w[..., None]
        return WeightedBands(tuple(bands), tuple(weights))

    def add(self, photo: WeightedBands) -> None:
        """Add one photo's bands."""
        if self._sums is None:
            self._sums = [band.copy() for band in photo.bands]
            self._weights = [weight.copy() for weight in photo.weights]
            return
        for level, (band, weight) in enumerate(zip(photo.bands, photo.weights, strict=True)):
            self._sums[level] += band
            self._weights[level] += weight

    def result(self) -> np.ndarray:
        """The blended residual (H, W, C); zero where no photo had weight."""
        if self._sums is None:
            raise ValueError("no photo was added")
        image: np.ndarray | None = None
        for band, weight in zip(reversed(self._sums), reversed(self._weights), strict=True):
            mean = band / np.maximum(weight, 1e-4)[..., None]
            image = mean if image is None else _up(image, mean) + mean
        assert image is not None
        return image
