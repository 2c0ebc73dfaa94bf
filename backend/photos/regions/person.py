"""Where a person is in a picture, by MediaPipe's selfie segmentation."""

from __future__ import annotations

import numpy as np

from backend.photos.faces import mediapipe_models


def person_probability(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32, 0 to 1: how likely each pixel belongs to a person."""
    return np.asarray(mediapipe_models.person_segmenter().process(pixels).segmentation_mask, dtype=np.float32)
