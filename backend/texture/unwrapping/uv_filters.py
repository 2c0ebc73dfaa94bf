"""Filters for images and soft masks in UV space: low-pass, hole filling, dilation, enlarging."""

from __future__ import annotations

import cv2
import numpy as np

from backend.geometry.disc import disc


def channel_mean(image: np.ndarray) -> np.ndarray:
    """Mean over the last axis of three channels; several times as fast as ``mean(-1)``."""
    return (image[..., 0] + image[..., 1] + image[..., 2]) * np.float32(1 / 3)


def masked_lowpass(values: np.ndarray, weights: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian mean of the weighted pixels (normalised convolution, Knutsson and Westin 1993).

    Parameters
    ----------
    values : (H, W, C) float32; weights : (H, W) float32, 0 where the value is undefined; sigma : pixels.

    Returns
    -------
    mean : (H, W, C) float32, 0 where no weight is near; support : (H, W) float32, the blurred weights.
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
    values : (H, W, C) float32; weights : (H, W) float32 in [0, 1]; pixels of weight 1 keep their value exactly.

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


def grown(mask: np.ndarray, radius: int, gap: int) -> np.ndarray:
    """Close gaps of ``gap`` pixels in a soft mask (S, S), dilate it by ``radius`` and blur it."""
    steps = np.round(mask * 255.0).astype(np.uint8)  # bytes are several times as fast
    for operation, size in ((cv2.MORPH_CLOSE, gap), (cv2.MORPH_DILATE, radius)):
        if size > 0:
            steps = cv2.morphologyEx(steps, operation, disc(size))
    return cv2.GaussianBlur(steps.astype(np.float32) / np.float32(255.0), (0, 0), max(radius, 1) * 0.7)


def enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """Resize an image (S, S) or (S, S, C) to ``size``, linearly."""
    return image if image.shape[0] == size else cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
