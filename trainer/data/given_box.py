"""Run the landmark detector on pictures with known face positions."""

from __future__ import annotations

import numpy as np

from backend.photos.faces.detect import DetectedFace
from backend.photos.faces.landmarks import find_landmarks, landmark_window

_BOX_PER_FACE = 0.8
"""Side of the detector's box relative to the larger extent of the landmarks."""


def landmarks_in_given_box(pixels: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """Run ``find_landmarks`` in (H, W, 3) uint8 sRGB around the true landmarks (478, 2), pixels.

    The face's box is given instead of detected: it only initialises the landmark detector, and detection takes most of
    the time.
    """
    return find_landmarks(pixels, given_box(true))


def given_box(true: np.ndarray) -> DetectedFace:
    """Build the face detector's result for a face with the landmarks (478, 2)."""
    around = landmark_window(true.astype(np.float64), _BOX_PER_FACE)
    return DetectedFace(around.centre, around.side, around.angle, 1.0)
