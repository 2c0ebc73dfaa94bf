"""Round structuring element for morphology on masks."""

from __future__ import annotations

import cv2
import numpy as np


def disc(radius: int) -> np.ndarray:
    """(D, D) uint8 kernel for ``cv2.dilate`` with D = 2 ``radius`` + 1, 1 within ``radius`` pixels of the centre."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
