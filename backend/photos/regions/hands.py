"""Hands in front of or beside a face."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.faces import mediapipe_models
from backend.photos.regions.settings import REGIONS

_FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_PALM = (0, 1, 2, 5, 9, 13, 17)


def hand_mask(pixels: np.ndarray, oval: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of hands in (H, W, 3) uint8 sRGB; ``oval`` (H, W) bool is the face.

    MediaPipe's 21 hand landmarks locate them; the width of the fingers is derived from the palm's.
    """
    height, width = oval.shape
    mask = np.zeros((height, width), np.uint8)
    result = mediapipe_models.hand_finder().process(pixels)
    for hand, side in zip(result.multi_hand_landmarks or (), result.multi_handedness or (), strict=False):
        points = np.array([[point.x * width, point.y * height] for point in hand.landmark])
        inside = [bool(oval[min(height - 1, max(0, int(y))), min(width - 1, max(0, int(x)))]) for x, y in points]
        if side.classification[0].score < REGIONS.hand_score or 1 - np.mean(inside) < REGIONS.hand_outside:
            continue
        palm = points[list(_PALM)].astype(np.int32)
        across = float(np.linalg.norm(points[5] - points[17]) + 0.5 * np.linalg.norm(points[0] - points[9]))
        thick = max(2, round(REGIONS.finger_per_palm * across))
        cv2.fillConvexPoly(mask, cv2.convexHull(palm), 1)
        cv2.polylines(mask, [cv2.convexHull(palm)], True, 1, thick)
        for finger in _FINGERS:
            cv2.polylines(mask, [points[list(finger)].astype(np.int32)], False, 1, thick)
    return mask.astype(bool)
