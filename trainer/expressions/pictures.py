"""Place crops of synthetic people into whole frames, with the cameras of phones and webcams."""

from __future__ import annotations

import cv2
import numpy as np

FOCAL_PER_SIDE, SIDES = 0.9, (1.3, 4.0)
"""Focal length over the side of a whole frame, as for phones and webcams, and limits of that side in multiples of the
head's crop."""
_HALF = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])  # cv2 has the first pixel's centre at 0


def frame_camera(focal: float, crop_side: int) -> tuple[np.ndarray, int]:
    """Camera K (3, 3) of a whole frame around a crop of ``crop_side`` pixels, centred, and the frame's side."""
    side = round(float(np.clip(focal / FOCAL_PER_SIDE, *(factor * crop_side for factor in SIDES))))
    return np.array([[focal, 0, side / 2], [0, focal, side / 2], [0, 0, 1.0]]), side


def put_into_frame(pixels: np.ndarray, own: np.ndarray, camera: np.ndarray, side: int) -> np.ndarray:
    """Warp crop pixels (S, S, 3) with camera ``own`` (3, 3) into a frame (side, side, 3) with ``camera`` (3, 3); the
    rest of the frame repeats the crop's edge."""
    to_frame = _HALF @ camera @ np.linalg.inv(own) @ np.linalg.inv(_HALF)
    return cv2.warpAffine(pixels, to_frame[:2], (side, side), borderMode=cv2.BORDER_REPLICATE)
