"""The parsing net at three scales: the head, the face alone for small parts, and a square between them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.models.parsing.network import FaceParser, Look
from backend.photos.faces.crop import face_square
from backend.photos.faces.sampling import Window

_BETWEEN_SHARE, _NEAR_SHARE = 0.5, 0.6
_RAMP = 0.12  # of a square's side: width of the fade to full weight inside its border


@dataclass(frozen=True)
class Seen:
    """The net's result for a head.

    Attributes
    ----------
    probabilities : (C, S, S) float32 class probabilities of the head's crop.
    features, mirrored : (F, R, R) float32, the net's features of the face's square and of its mirror image, mirrored
        back. landmarks : (478, 2) in pixels of that square at the net's resolution.
    """

    probabilities: np.ndarray
    features: np.ndarray
    mirrored: np.ndarray
    landmarks: np.ndarray


def class_probabilities(parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities: see ``look_at_head``."""
    return look_at_head(parser, pixels, landmarks).probabilities


def look_at_head(parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray) -> Seen:
    """Run the net on a head crop (S, S, 3) uint8 sRGB with landmarks (478, 2 or 3) in its pixels.

    The face is 0.4 of a head crop's side, so at 256 px a wire frame is thinner than a pixel. So the net also runs on
    the square around the face (``face_square``) and on one half-way between it and the crop. Each result is averaged
    into the previous one within its square.
    """
    result = wide_probabilities(parser, pixels, landmarks)
    face = face_square(landmarks)
    near = face.cut(pixels, parser.size)
    look, mirrored = parser.look(near), _mirrored_look(parser, near)
    _average_in(result, (look.probabilities + mirrored.probabilities) / 2, face, _NEAR_SHARE)
    corner = np.asarray(face.centre) - face.side / 2
    places = (landmarks[:, :2] - corner) * (parser.size / face.side)
    return Seen(result, look.features, mirrored.features, places)


def wide_probabilities(parser: FaceParser, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities without the scale of the face alone; sufficient for large classes."""
    side = pixels.shape[0]
    result = _resized(parser.probabilities(pixels), (side, side))
    face = face_square(landmarks)
    middle = (np.asarray(face.centre) + side / 2) / 2
    between = Window((float(middle[0]), float(middle[1])), (face.side + side) / 2)
    _average_in(result, _mirrored_look(parser, between.cut(pixels, parser.size)).probabilities, between, _BETWEEN_SHARE)
    return result


def _mirrored_look(parser: FaceParser, pixels: np.ndarray) -> Look:
    """The net's result for the mirror image, mirrored back; its errors differ from those for the picture."""
    return parser.look(np.ascontiguousarray(pixels[:, ::-1])).mirrored()


def _average_in(result: np.ndarray, look: np.ndarray, window: Window, most: float) -> None:
    """Average probabilities ``look`` (C, R, R) of an upright window into those of the crop (C, S, S), in place."""
    side = result.shape[1]
    corner = np.round(np.asarray(window.centre) - window.side / 2).astype(int)
    length = max(8, round(window.side))
    low, high = np.maximum(corner, 0), np.minimum(corner + length, side)
    if (high <= low).any():
        return
    inside = np.s_[:, low[1] - corner[1] : high[1] - corner[1], low[0] - corner[0] : high[0] - corner[0]]
    share = most * _fading(length)[inside[1:]]
    part = result[:, low[1] : high[1], low[0] : high[0]]
    part += share * (_resized(look, (length, length))[inside] - part)


def _resized(probabilities: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, height, width) float32, bilinear, or area-averaged when smaller."""
    way = cv2.INTER_AREA if size[0] < probabilities.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(channel, size[::-1], interpolation=way) for channel in probabilities])


def _fading(length: int) -> np.ndarray:
    """(length, length) float32: 1 inside, falling to 0 at the border."""
    border = np.minimum(np.arange(length) + 0.5, np.arange(length)[::-1] + 0.5) / (_RAMP * length)
    edge = np.clip(border, 0, 1).astype(np.float32)
    return np.minimum(edge[:, None], edge[None])
