"""The parsing net looks twice: at the whole head, and once more at the face alone, where small things are."""

from __future__ import annotations

import cv2
import numpy as np

from backend.models.parsing import FaceParser
from backend.photos.crop import face_square

_NEAR_SHARE = 0.7
_RAMP = 0.12  # of the square's side: how far inside its border the second look counts fully


def class_probabilities(
    parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray, near_share: float = _NEAR_SHARE
) -> np.ndarray:
    """(C, S, S) float32 class probabilities for a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels.

    The face is 0.4 of a head crop's side: at 256 px a wire frame is thinner than a pixel. So the square around the face
    (``face_square``) is looked at by itself, and within it both looks are averaged, ``near_share`` of the second.
    """
    side = pixels.shape[0]
    whole = _resized(parser.probabilities(pixels), (side, side))
    window = face_square(landmarks)
    corner = np.round(np.asarray(window.centre) - window.side / 2).astype(int)
    length = max(8, round(window.side))
    near = _resized(parser.probabilities(window.cut(pixels, parser.size)), (length, length))
    low, high = np.maximum(corner, 0), np.minimum(corner + length, side)
    if (high <= low).any():
        return whole
    inside = np.s_[:, low[1] - corner[1] : high[1] - corner[1], low[0] - corner[0] : high[0] - corner[0]]
    share = near_share * _fading(length)[inside[1:]]
    part = whole[:, low[1] : high[1], low[0] : high[0]]
    part += share * (near[inside] - part)
    return whole


def _resized(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, height, width) float32, bilinear or, where smaller, averaged."""
    way = cv2.INTER_AREA if size[0] < probabilities.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, size[::-1], interpolation=way) for channel in probabilities])


def _fading(length: int) -> np.ndarray:
    """(length, length) float32: 1 inside, falling to 0 at the border."""
    border = np.minimum(np.arange(length) + 0.5, np.arange(length)[::-1] + 0.5) / (_RAMP * length)
    edge = np.clip(border, 0, 1).astype(np.float32)
    return np.minimum(edge[:, None], edge[None])
