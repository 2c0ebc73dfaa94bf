"""The network's heights as the product uses them: nothing where skin must stay, and what is always there at the depth
that people of its like have."""

from __future__ import annotations

import cv2
import numpy as np

from backend.detail.observation import BASE_LENGTH
from backend.models.detail.apply import DetailModel, displacements

RIGHT_DEPTH = 0.0255
"""Millimetres, root mean square of what the network finds at rest, at which its depth is right. Smooth people are found
too deep and worn ones too flat, because the training asks for what is likely. By hand on 40 synthetic people that were
not those of the figures: error at rest 1.005 to 0.964 of no relief, pooled over people 0.890 before and after."""
_FLATTEST, _DEEPEST = 0.3, 1.5
"""Of the factor on depth."""


def relief(
    model: DetailModel,
    photos: np.ndarray,
    expressions: np.ndarray,
    wanted: np.ndarray,
    allowed: np.ndarray,
    texels_per_metre: float,
) -> np.ndarray:
    """(1 + T, N, N) float32 millimetres: at rest, then with the wanted expressions.

    Parameters
    ----------
    photos, expressions : see ``displacements``. wanted : (1 + T, 9, n, n) expression maps, the first that of a face at
        rest. allowed : (N, N) in [0, 1] of ``DetailWindow``. texels_per_metre : of the window.
    """
    heights = displacements(model, photos, expressions, wanted) * allowed
    return heights + (rest_gain(heights[0], allowed, texels_per_metre) - 1.0) * heights[:1]


def rest_gain(rest: np.ndarray, allowed: np.ndarray, texels_per_metre: float) -> np.float32:
    """Factor on the heights found at rest (N, N)."""
    depth = np.sqrt(np.average(np.square(without_wide(rest, texels_per_metre)), weights=allowed))
    return np.float32(np.clip(np.sqrt(depth / RIGHT_DEPTH), _FLATTEST, _DEEPEST))


def without_wide(heights: np.ndarray, texels_per_metre: float) -> np.ndarray:
    """Heights (N, N) without what is wider than ``BASE_LENGTH``."""
    return heights - cv2.GaussianBlur(heights, (0, 0), BASE_LENGTH * texels_per_metre)
