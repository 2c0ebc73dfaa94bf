"""The round structuring element of masks that grow, shrink, open or close."""

from __future__ import annotations

import cv2
import numpy as np


def disc(radius: int) -> np.ndarray:
    """(D, D) uint8 with D = 2 ``radius`` + 1, 1 within ``radius`` pixels of the middle: what ``cv2.dilate`` takes."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
