"""Landmark polygons of the face's parts, drawn as masks."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.landmarks import mean_landmarks

# Indices into MediaPipe's 478 landmarks, in order around each part; "right" is the person's right.
_OVAL_LEFT = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
_OVAL_RIGHT = (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
FACE_OVAL = _OVAL_LEFT + _OVAL_RIGHT
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
CHEEK_RIGHT = (117, 118, 101, 36, 205, 187, 123)
FOREHEAD = (109, 10, 338, 337, 336, 9, 107, 108)
NOSE_BRIDGE = (6, 122, 196, 3, 51, 5, 281, 248, 419, 351)


def mirrored(indices: tuple[int, ...]) -> tuple[int, ...]:
    """The same part on the person's other side."""
    return tuple(int(mean_landmarks().mirror[index]) for index in indices)


def polygon_mask(landmarks: np.ndarray, indices: tuple[int, ...], side: int) -> np.ndarray:
    """(side, side) bool: the inside of the polygon through the landmarks (478, 3) in crop pixels."""
    mask = np.zeros((side, side), np.uint8)
    fraction_bits = 4
    points = np.round((landmarks[list(indices), :2] - 0.5) * (1 << fraction_bits)).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=fraction_bits)
    return mask.astype(bool)


def grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """``mask`` (H, W) bool dilated (``pixels`` > 0) or eroded (< 0) by a disc."""
    radius = round(abs(pixels))
    if radius == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    work = mask.astype(np.uint8)
    return (cv2.dilate(work, disc) if pixels > 0 else cv2.erode(work, disc)).astype(bool)
