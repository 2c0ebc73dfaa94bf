"""Depth and normal errors in a view, as Unsup3D and LAP report them."""

from __future__ import annotations

import numpy as np


def side(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Scale-invariant depth error (Eigen et al. 2014): sqrt(mean(D^2) - mean(D)^2), D = log predicted - log true.

    Parameters
    ----------
    predicted, true : (H, W) depths > 0 inside ``mask``, any common unit. mask : (H, W) bool, not empty.
    """
    chosen = _chosen(mask)
    difference = np.log(predicted[chosen]) - np.log(true[chosen])
    return float(np.sqrt(((difference - difference.mean()) ** 2).mean()))


def mad(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Mean angle deviation in degrees between unit normals (H, W, 3) over ``mask`` (H, W)."""
    chosen = _chosen(mask)
    cosine = (predicted[chosen] * true[chosen]).sum(-1)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def _chosen(mask: np.ndarray) -> np.ndarray:
    chosen = np.asarray(mask, dtype=bool)
    if not chosen.any():
        raise ValueError("the mask is empty")
    return chosen
