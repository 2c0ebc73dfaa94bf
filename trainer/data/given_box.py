"""The landmark detector on pictures of people whose place is known."""

from __future__ import annotations

import numpy as np

from backend.photos.faces.detect import DetectedFace
from backend.photos.faces.landmarks import find_landmarks, landmark_window

_BOX_PER_FACE = 0.8
"""Side of the detector's box over the landmarks' larger extent."""


def landmarks_in_given_box(pixels: np.ndarray, true: np.ndarray) -> np.ndarray | None:
    """``find_landmarks`` in (H, W, 3) uint8 sRGB around the true landmarks (478, 2), pixels.

    The face's box is given, not searched: it only starts the landmark detector, and searching takes most of the time.
    """
    return find_landmarks(pixels, given_box(true))


def given_box(true: np.ndarray) -> DetectedFace:
    """What the face detector would say of a face with the landmarks (478, 2)."""
    around = landmark_window(true.astype(np.float64), _BOX_PER_FACE)
    return DetectedFace(around.centre, around.side, around.angle, 1.0)
