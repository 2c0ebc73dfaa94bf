"""Segment the person in an image with MediaPipe's selfie segmentation."""

from __future__ import annotations

import numpy as np

from backend.photos.faces import mediapipe_models


def person_probability(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32 probability, 0 to 1, that each pixel belongs to a person."""
    return np.asarray(mediapipe_models.person_segmenter().process(pixels).segmentation_mask, dtype=np.float32)
