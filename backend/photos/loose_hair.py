"""Hair that a net is not sure of: what has the colours and strands of the sure hair in this photo, and no collars."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.edge_strip import eye_line_angle
from backend.photos.guided_filter import guided_filter
from backend.photos.hair_colours import hair_evidence
from backend.photos.landmarks import CHIN, landmark_window
from backend.photos.regions import FACE_OVAL, above_brows, along_face, grown, polygon_mask

_WEIGHT, _AGAINST_CLOTHES = 0.4, 1.0
"""Of the evidence of colours on the log odds of hair; below the chin, where the net takes clothes for hair, of evidence
against it. On 200 portraits corrected by hand 0.3 to 0.5 do about as well, on press photos more finds looser hair."""
_CLOTHES = (-0.05, 0.2)  # heights of the face below the chin between which the second takes over
_LONG_UNTIL, _SHORT_UNTIL = (0.1, 0.6), (-0.5, -0.3)
"""Heights of the face below the chin between which evidence in favour ends: there are clothes."""
_NOBODY, _SOMEBODY = 0.4, 0.82
"""Probability of a person from which evidence in favour counts, for shadows on walls have hair's colours, and from
which it counts fully and hair can hang beside the jaw."""
_LONG = 0.28
"""Mean probability of hair beside the jaw, on one side, from which hair is long. Seen on 230 development pictures:
long hair has 0.31 and more, collars and what is behind a short-haired head 0.22 and less, save for two jackets."""
_SURELY_LONG = 0.45
"""From there on evidence in favour counts below the jaw too, on that side: collars and lapels reach into 0.3 to 0.4."""
_BESIDE_JAW, _BESIDE = (-0.25, 0.1), 0.3  # heights of the face: below the chin, beside the face
_NO_SHORT_HAIR, _COLLAR = (-0.1, 0.0), 0.6  # where collars begin; what is left of hair's odds there
_RADIUS, _NOISE = 0.045, 1e-3  # heights of the face; squared share of the range of Lab
_SETTLED = 0.5  # of a pixel's probability that hair, skin and background share between them


def with_loose_hair(odds: np.ndarray, somebody: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities with more of the hair that hangs loose or shades into skin.

    odds (C, S, S) : class probabilities. somebody (S, S) : probability of a person. pixels (S, S, 3) uint8 sRGB.
    landmarks (478, 3) in their pixels. Outside of the face hair takes from skin and background, or gives to them, by
    the colours and the contrast of what the net is sure of (``hair_evidence``), and its border follows the picture's
    edges. Below short hair collars are less likely hair.
    """
    side, size = odds.shape[1], landmark_window(landmarks, 1.0).side
    colours = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
    beside, below = along_face(landmarks[CHIN, :2], eye_line_angle(landmarks), size, side)
    oval = grown(polygon_mask(landmarks, FACE_OVAL, side), 0.03 * size)
    result = odds.copy()
    left, right = _hair_beside_jaw(odds, below, beside, oval, somebody)
    if max(left, right) <= _LONG:
        cloth = (1 - _COLLAR) * (1 - _falling(below, *_NO_SHORT_HAIR)) * result[FaceClass.HAIR]
        result[FaceClass.HAIR] -= cloth
        result[FaceClass.BACKGROUND] += cloth
    evidence = hair_evidence(pixels, odds, below < 0)
    against = _AGAINST_CLOTHES + (_WEIGHT - _AGAINST_CLOTHES) * _falling(below, *_CLOTHES)
    hangs = 1 - _falling(np.where(beside < 0, left, right), _LONG, _SURELY_LONG)
    reach = _falling(below, *_SHORT_UNTIL)
    in_favour = _WEIGHT * (reach + hangs * (_falling(below, *_LONG_UNTIL) - reach))
    in_favour *= np.clip((somebody - _NOBODY) / (_SOMEBODY - _NOBODY), 0, 1)
    factor = np.exp(np.where(evidence < 0, against, in_favour) * evidence)
    face = oval & ~above_brows(landmarks, side)  # shadow on a cheek is no hair
    decided = result[[FaceClass.HAIR, FaceClass.SKIN, FaceClass.BACKGROUND]].sum(axis=0) <= _SETTLED
    result[FaceClass.HAIR] *= np.where(face | decided, 1.0, factor)
    result /= np.maximum(result.sum(axis=0), 1e-6)
    return _along_edges(result, colours, _RADIUS * size)


def _falling(values: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to ``start``, 0 from ``end`` on."""
    return np.clip((end - values) / (end - start), 0, 1)


def _hair_beside_jaw(
    odds: np.ndarray, below: np.ndarray, beside: np.ndarray, oval: np.ndarray, somebody: np.ndarray
) -> tuple[float, float]:
    """Mean probability of hair beside the jaw, picture-left and picture-right; 0 where too little is seen."""
    if not oval.any():
        return 0.0, 0.0
    place = (below > _BESIDE_JAW[0]) & (below < _BESIDE_JAW[1]) & ~oval & (somebody > _SOMEBODY)
    place &= (beside > beside[oval].min() - _BESIDE) & (beside < beside[oval].max() + _BESIDE)
    place &= odds[FaceClass.SKIN] + odds[FaceClass.NECK] < 0.5
    left, right = (place & (beside < 0), place & (beside >= 0))
    return tuple(float(odds[FaceClass.HAIR][half].mean()) if half.sum() > 20 else 0.0 for half in (left, right))


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
