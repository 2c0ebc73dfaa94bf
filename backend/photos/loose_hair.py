"""Hair that a net is not sure of: where somebody is and no clothes are, of the colour of what is surely hair."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.edge_strip import eye_line_angle
from backend.photos.guided_filter import guided_filter
from backend.photos.landmarks import CHIN, landmark_window
from backend.photos.regions import FACE_OVAL, above_brows, grown, polygon_mask

_LIKELIER = 1.3
"""On the odds of hair where MediaPipe's segmentation sees somebody: the net's doubt is about the background, mostly. On
302 portraits corrected by hand that the net had not seen 3 makes 25 mistakes with hair, 1.3 makes 17."""
_NOBODY, _SOMEBODY = 0.7, 0.95
_OTHER_COLOUR = 0.4  # of it without the colour of the sure hair: streaks, light from behind
_SURE_HAIR, _FEWEST, _LIKE = 0.8, 60, 2.0
_SPREAD = np.array([8.0, 3.0, 3.0], np.float32)
"""Least spread of hair's colour, in levels of CIE Lab: hair of one colour is lit unevenly."""
_LONG = 0.28
"""Mean probability of hair beside the jaw, on one side, from which hair is long. Seen on 230 development pictures:
long hair has 0.31 and more, collars and what is behind a short-haired head 0.22 and less, save for two jackets."""
_BESIDE_JAW, _BESIDE = (-0.25, 0.1), 0.3  # heights of the face: below the chin, beside the face
_LONG_UNTIL, _LONG_IN_COLOUR_UNTIL, _SHORT_UNTIL = (-0.2, 0.2), (0.1, 0.6), (-0.5, -0.3)
"""Heights of the face below the chin between which this ends: there are clothes."""
_NO_SHORT_HAIR, _COLLAR = (-0.1, 0.0), 0.6  # where collars begin; what is left of hair's odds there
_NO_HAT = -0.55  # below that (heights of the face below the chin: the eyes) an occluder is a hand, or hair as well
_RADIUS, _NOISE = 0.045, 1e-3  # heights of the face; squared share of the range of Lab
_SETTLED = 0.5  # of a pixel's probability that hair, skin and background share between them


def with_loose_hair(odds: np.ndarray, somebody: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities with more of the hair that hangs loose or shades into skin.

    odds (C, S, S) : class probabilities. somebody (S, S) : probability of a person. pixels (S, S, 3) uint8 sRGB.
    landmarks (478, 3) in their pixels. Hair takes from skin and background, and below the eyes from
    occluders (hands are found by themselves). It is asked for less above the jaw,
    and below it too if hair hangs there; else collars are no hair. Its border follows the picture's edges.
    """
    side, size = odds.shape[1], landmark_window(landmarks, 1.0).side
    colours = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    below, beside = _from_chin(landmarks, side, size)
    sure = np.clip((somebody - _NOBODY) / (_SOMEBODY - _NOBODY), 0, 1)
    like = _like_sure_hair(colours, odds[FaceClass.HAIR])
    oval = grown(polygon_mask(landmarks, FACE_OVAL, side), 0.03 * size)
    result = odds.copy()
    if _is_long(odds, below, beside, oval, somebody):
        anyhow = _falling(below, *_LONG_UNTIL) * np.maximum(like, _OTHER_COLOUR)
        share = np.maximum(anyhow, _falling(below, *_LONG_IN_COLOUR_UNTIL) * like)
    else:
        share = _falling(below, *_SHORT_UNTIL) * np.maximum(like, _OTHER_COLOUR)
        cloth = (1 - _COLLAR) * (1 - _falling(below, *_NO_SHORT_HAIR)) * result[FaceClass.HAIR]
        result[FaceClass.HAIR] -= cloth
        result[FaceClass.BACKGROUND] += cloth
    less = 1 + (_LIKELIER - 1) * sure * share
    result[FaceClass.BACKGROUND] /= less
    result[FaceClass.SKIN] /= np.where(oval & ~above_brows(landmarks, side), 1.0, less)  # shadow on a cheek is no hair
    result[FaceClass.OCCLUDER] /= np.where(below > _NO_HAT, less, 1.0)
    result /= np.maximum(result.sum(axis=0), 1e-6)
    return _along_edges(result, colours / 255, _RADIUS * size)


def _from_chin(landmarks: np.ndarray, side: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """(side, side) each: how far below the chin, and to the side of it, along the face's own axes, in its heights."""
    angle = eye_line_angle(landmarks)
    rows, columns = np.mgrid[:side, :side] + 0.5
    across, down = (columns - landmarks[CHIN, 0]) / size, (rows - landmarks[CHIN, 1]) / size
    return down * np.cos(angle) - across * np.sin(angle), across * np.cos(angle) + down * np.sin(angle)


def _falling(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to ``start``, 0 from ``end`` on."""
    return np.clip((end - values) / (end - start), 0, 1)


def _like_sure_hair(colours: np.ndarray, hair: np.ndarray) -> np.ndarray:
    """(S, S) float32, 1: of the colour that the sure hair has in the middle; 0: of another, or there is too little."""
    sure = hair > _SURE_HAIR
    if sure.sum() < _FEWEST:
        return np.zeros(hair.shape, np.float32)
    smooth = cv2.GaussianBlur(colours, (0, 0), 1.0)
    middle = np.median(smooth[sure], axis=0)
    spread = 1.48 * np.median(np.abs(smooth[sure] - middle), axis=0) + _SPREAD
    distance = (((smooth - middle) / spread) ** 2).sum(axis=-1)
    return np.exp(-distance / (2 * _LIKE**2))


def _is_long(odds: np.ndarray, below: np.ndarray, beside: np.ndarray, oval: np.ndarray, somebody: np.ndarray) -> bool:
    """Whether hair hangs beside the jaw."""
    if not oval.any():
        return False
    place = (below > _BESIDE_JAW[0]) & (below < _BESIDE_JAW[1]) & ~oval & (somebody > (_NOBODY + _SOMEBODY) / 2)
    place &= (beside > beside[oval].min() - _BESIDE) & (beside < beside[oval].max() + _BESIDE)
    place &= odds[FaceClass.SKIN] + odds[FaceClass.NECK] < 0.5
    halves = (place & (beside < 0), place & (beside >= 0))
    return any(half.sum() > 20 and float(odds[FaceClass.HAIR][half].mean()) > _LONG for half in halves)


def _along_edges(odds: np.ndarray, colours: np.ndarray, radius: float) -> np.ndarray:
    """Class probabilities in which hair is told from skin and background by edges of ``colours`` (S, S, 3) too."""
    three = [FaceClass.HAIR, FaceClass.SKIN, FaceClass.BACKGROUND]
    together = odds[three].sum(axis=0)
    hair = np.where(together > _SETTLED, odds[FaceClass.HAIR] / np.maximum(together, 1e-6), odds[FaceClass.HAIR])
    share = np.clip(guided_filter(hair, colours, radius, _NOISE), 0, 1)
    rest = np.maximum(together - odds[FaceClass.HAIR], 1e-6)
    result = odds.copy()
    result[FaceClass.HAIR] = np.where(together > _SETTLED, share * together, odds[FaceClass.HAIR])
    for other in three[1:]:
        result[other] = np.where(together > _SETTLED, (1 - share) * together * odds[other] / rest, odds[other])
    return result
