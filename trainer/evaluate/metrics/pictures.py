"""Errors between pictures and between masks."""

from __future__ import annotations

import numpy as np


def mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks (lips, say); 1 when both are empty."""
    union = np.logical_or(first, second).sum()
    return float(np.logical_and(first, second).sum() / union) if union else 1.0


def class_iou(predicted: np.ndarray, true: np.ndarray, class_id: int) -> float:
    """``mask_iou`` of one class in two label maps (H, W)."""
    return mask_iou(predicted == class_id, true == class_id)


def photometric_error(predicted: np.ndarray, true: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute difference over ``mask`` (H, W) of two uint8 sRGB pictures (H, W, 3), in units of 0-1."""
    if not mask.any():
        raise ValueError("the mask is empty")
    difference = np.abs(predicted[mask].astype(np.float64) - true[mask].astype(np.float64))
    return float(difference.mean() / 255)
