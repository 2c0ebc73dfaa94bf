"""Dilate and erode masks, and select connected parts."""

from __future__ import annotations

import cv2
import numpy as np

from backend.geometry.disc import disc


def connected(mask: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """The connected parts of ``mask`` that touch ``anchor``."""
    count, index = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touched = np.zeros(count, dtype=bool)
    touched[np.unique(index[mask & anchor])] = True
    touched[0] = False
    return touched[index]


def grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """``mask`` (H, W) bool dilated (``pixels`` > 0) or eroded (< 0) by a disc."""
    radius = round(abs(pixels))
    if radius == 0:
        return mask
    work = mask.astype(np.uint8)
    return (cv2.dilate(work, disc(radius)) if pixels > 0 else cv2.erode(work, disc(radius))).astype(bool)
