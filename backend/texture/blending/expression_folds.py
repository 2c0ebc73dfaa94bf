"""Folds of expressions: smooth dark lines of the blended detail that are shade and no pigment."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backend.geometry.smoothstep import smoothstep
from backend.parallel import each
from backend.texture.blending.settings import BLENDING
from backend.texture.unwrapping.uv_filters import channel_mean, masked_lowpass


def folds_of_some_photos(
    blended: np.ndarray,
    middles: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    moved: np.ndarray,
    density: float,
) -> np.ndarray:
    """(S, S) log units, at most 0, by which folds that not all photos show darken the blended detail.

    Pigment is at the same place in all photos; a fold is where this expression has it. So skin that an expression moves
    is no darker than the median photo shows it (of two photos the brighter one), up to what is usual on this skin.
    Folds that lie at the same place in most photos stay.

    Parameters
    ----------
    blended : (S, S, 3) log detail of the middle band. middles, weights : (S, S, 3) and (S, S) of each photo.
    moved : (S, S) in [0, 1], plain skin that an expression moves in some photo.
    density : texels per metre.
    """
    if len(middles) < 2:
        return np.zeros(moved.shape, np.float32)
    sigma = BLENDING.fold_width * density

    def smooth(detail: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return masked_lowpass(channel_mean(detail)[..., None], weight, sigma)[0][..., 0]

    own = each(smooth, middles, weights)
    shows = [smoothstep(*BLENDING.fold_shown, weight) for weight in weights]
    detail = np.stack([one - BLENDING.fold_unseen * (1.0 - share) for one, share in zip(own, shows, strict=True)])
    count = sum(shows)
    middle = np.maximum((np.rint(count).astype(int) - 1) // 2, 0)
    median = np.take_along_axis(-np.sort(-detail, axis=0), middle[None], axis=0)[0]
    several = np.clip(count - 1.0, 0.0, 1.0)  # one photo alone contradicts nothing
    seen = np.maximum.reduce(weights).astype(np.float32)
    level = smooth(blended, seen)
    darker = several * np.maximum(np.minimum(median, 0.0) - np.minimum(level, 0.0), 0.0)
    skin = several * moved > 0.5
    usual = float(np.median((median - level)[skin])) if skin.any() else 0.0  # the photos' differences, folds or not
    folds = (moved * np.maximum(darker - max(usual, 0.0), 0.0)).astype(np.float32)
    return -cv2.GaussianBlur(folds, (0, 0), sigma)
