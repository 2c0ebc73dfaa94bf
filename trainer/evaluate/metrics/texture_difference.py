"""Difference between a lit texture and a held-out photograph, per texel.

``made`` and ``photo`` are natural logarithms of linear light. Differences are made minus photo: positive where the
texture is brighter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.geometry.robust_statistics import weighted_median
from backend.rendering.color import LUMINANCE
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.uv_filters import masked_lowpass

FINEST, COARSEST = 0.0025, 0.009
"""Metres, frequency band of the details of lids, lips, brows and folds; finer is the photo's noise, coarser is
light."""
_DETAIL_WEIGHT = 0.3  # weight above which a texel is used for details
_LOWPASS_WEIGHT = 0.05  # weight above which it contributes to its neighbours' means


@dataclass(frozen=True)
class ColourDifference:
    """Log units: ``brightness`` of luminance, ``red_green`` and ``green_blue`` of the channels' ratios."""

    brightness: float
    red_green: float
    green_blue: float


def log_ratios(log_linear: np.ndarray) -> np.ndarray:
    """(P, 3) log luminance, log red over green and log green over blue of log linear light (P, 3)."""
    brightness = np.log(np.exp(log_linear) @ np.array(LUMINANCE))
    return np.stack([brightness, log_linear[:, 0] - log_linear[:, 1], log_linear[:, 1] - log_linear[:, 2]], 1)


def median_difference(made: np.ndarray, photo: np.ndarray, weight: np.ndarray) -> ColourDifference:
    """Weighted median of the difference of (P, 3) ``made`` and ``photo``; weight (P,), not all 0."""
    difference, weight = _differences(made, photo, weight)
    return ColourDifference(*weighted_median(difference, weight).tolist())


def mean_difference(
    made: np.ndarray, photo: np.ndarray, weight: np.ndarray, common: np.ndarray | None = None
) -> ColourDifference:
    """Weighted mean absolute difference of (P, 3) ``made`` and ``photo`` after subtracting ``common`` (3,), in the
    order of ``ColourDifference``; None: its own median."""
    difference, weight = _differences(made, photo, weight)
    difference = np.abs(difference - (weighted_median(difference, weight) if common is None else common))
    return ColourDifference(*np.average(difference, axis=0, weights=weight).tolist())


def _differences(made: np.ndarray, photo: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) differences of ``log_ratios`` at texels with weight, and the weights (N,)."""
    used = weight > 0
    return log_ratios(made[used]) - log_ratios(photo[used]), weight[used]


def detail_likeness(
    made: np.ndarray, photo: np.ndarray, weight: np.ndarray, atlas: SurfaceAtlas, texels_per_metre: float
) -> tuple[float, float]:
    """Contrast of the texture's details relative to the photo's, and their correlation.

    Details are the frequency band of log luminance between ``FINEST`` and ``COARSEST``.

    Parameters
    ----------
    made, photo : (P, 3); weight : (P,) in [0, 1], visibility of the face in the photo.
    """
    brightness = np.stack([log_ratios(made)[:, 0], log_ratios(photo)[:, 0]], 1)
    clear = np.where(weight > _LOWPASS_WEIGHT, weight, 0.0).astype(np.float32)
    image, weights = atlas.image(brightness.astype(np.float32)), atlas.image(clear)
    fine, coarse = (masked_lowpass(image, weights, length * texels_per_metre)[0] for length in (FINEST, COARSEST))
    used = weights > _DETAIL_WEIGHT
    details = (fine - coarse)[used].astype(np.float64)  # (N, 2)
    covariance = np.cov(details.T, aweights=weights[used])
    (own, both), (_, others) = covariance
    return float(np.sqrt(own / others)), float(both / np.sqrt(own * others))
