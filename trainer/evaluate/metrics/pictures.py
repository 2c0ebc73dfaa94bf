"""Errors between pictures."""

from __future__ import annotations

import cv2
import numpy as np


def photometric_error(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference over ``mask`` (H, W) of two uint8 sRGB pictures (H, W, 3), in units of 0-1."""
    if not mask.any():
        raise ValueError("the mask is empty")
    difference = np.abs(predicted[mask].astype(np.float64) - true[mask].astype(np.float64))
    return float(difference.mean() / 255)


def ssim(first: np.ndarray, second: np.ndarray, mask: np.ndarray) -> float:
    """Mean structural similarity (SSIM) of the luminance of two uint8 sRGB pictures (H, W, 3) over a ``mask`` (H, W)
    bool (Wang et al. 2004: Gaussian window of 1.5 px, K1 = 0.01, K2 = 0.03).

    Raises
    ------
    ValueError : the mask is empty.
    """
    if not mask.any():
        raise ValueError("the mask is empty")
    a, b = (picture.astype(np.float64) @ (0.299, 0.587, 0.114) / 255 for picture in (first, second))

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    ma, mb = mean(a), mean(b)
    va, vb, both = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    value = (2 * ma * mb + 1e-4) * (2 * both + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    return float(value[mask].mean())
