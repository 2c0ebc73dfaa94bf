"""Blend masked images with Laplacian pyramids.

The method is Burt and Adelson's ("A multiresolution spline with application to image mosaics", 1983) with one change:
it blends residuals over a common base, so that a photo contributes zero instead of an edge where it does not see the
surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np


def gaussian_pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """``levels`` images, each half the size of the one before."""
    pyramid = [image]
    for _ in range(levels - 1):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _up(image: np.ndarray, like: np.ndarray) -> np.ndarray:
    return cv2.pyrUp(image, dstsize=(like.shape[1], like.shape[0]))


@dataclass(frozen=True)
class WeightedBands:
    """One photo's pyramid, finest first: ``bands`` (h, w, C), already multiplied by the weight, and ``weights``
    (h, w)."""

    bands: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]


class ResidualBlender:
    """Multi-band blending of residual images. Photos are added one at a time to limit memory.

    Parameters
    ----------
    size : (height, width) of the images; levels : number of bands, the coarsest keeps the remainder.
    """

    def __init__(self, size: tuple[int, int], levels: int) -> None:
        self._levels = levels
        self._sums: list[np.ndarray] | None = None
        self._weights: list[np.ndarray] = []
        self._size = size

    def bands(self, residual: np.ndarray, weight: np.ndarray) -> WeightedBands:
        """Split one photo into bands. ``residual`` (H, W, C) float32 is zero where unseen. Overwritten: its memory
        becomes the finest band. ``weight`` (H, W) float32 >= 0."""
        if residual.shape[:2] != self._size or weight.shape != self._size:
            raise ValueError(f"expected images of size {self._size}, got {residual.shape} and {weight.shape}")
        weights = gaussian_pyramid(weight, self._levels)
        bands = gaussian_pyramid(residual, self._levels)
        for fine, coarse in pairwise(bands):
            cv2.subtract(fine, _up(coarse, fine), dst=fine)
        for band, w in zip(bands, weights, strict=True):
            band *= w[..., None]
        return WeightedBands(tuple(bands), tuple(weights))

    def add(self, photos: list[WeightedBands]) -> None:
        """Add the bands of photos. Empties the list to free memory."""
        while photos:
            photo = photos.pop(0)
            if self._sums is None:
                self._sums = [band.copy() for band in photo.bands]
                self._weights = [weight.copy() for weight in photo.weights]
                continue
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
