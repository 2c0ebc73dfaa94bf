"""Detection of glasses, and of their frames and dark lenses."""

from __future__ import annotations

import cv2
import numpy as np

from backend.models.parsing.edge_strip import edge_strip, eye_line_angle, load_classifier
from backend.photos.faces.landmarks import EYE_OUTER_LEFT, EYE_OUTER_RIGHT, landmark_window
from backend.photos.regions.masks import grown
from backend.photos.regions.polygons import BROW_RIGHT, EYE_RIGHT, mirrored, polygon_mask

GLASSES_THRESHOLD, WORN_IF_DARK, WORN_IF_BLACK = 0.4, -0.6, -4.0
_STRIP_PER_FACE = 0.95
_LOWERED = 0.06  # of the face's height: distance of the strip's centre below the eyes
_LENS_REACH = 0.11
_FRAME_DISTANCE, _FRAME_CONTRAST = 2.3, 0.22
_DARK_LENS, _BLACK_LENS = 3.0, 7.0


def glasses_score(pixels: np.ndarray, landmarks: np.ndarray) -> float:
    """Log odds that the face with landmarks (478, 3) in (H, W, 3) sRGB pixels wears glasses; worn above
    ``GLASSES_THRESHOLD``.

    A linear classifier on oriented gradients of the strip around the eyes, trained on hand-labelled portraits
    (``trainer.classifiers.portrait_statistics``).
    """
    return load_classifier("glasses_classifier").log_odds(strip_histogram(pixels, landmarks))


def wears_glasses(pixels: np.ndarray, landmarks: np.ndarray, distance: np.ndarray, size: float) -> bool:
    """Whether glasses are worn, by the classifier; its threshold is lower where both eyes' surroundings are not skin.

    ``distance`` (S, S) and ``size`` as for ``glasses_mask``.
    """
    score = glasses_score(pixels, landmarks)
    lenses = _lens_distances(landmarks, distance, size).min()
    if lenses > _BLACK_LENS:
        return score > WORN_IF_BLACK
    return score > (WORN_IF_DARK if lenses > _DARK_LENS else GLASSES_THRESHOLD)


def _lens_distances(landmarks: np.ndarray, distance: np.ndarray, size: float) -> np.ndarray:
    """(2,) median distance from the skin's colour, in a ring around each eye."""
    medians = []
    for part in (EYE_RIGHT, mirrored(EYE_RIGHT)):
        eye = polygon_mask(landmarks, part, distance.shape[0])
        ring = grown(eye, 0.06 * size) & ~grown(eye, 0.015 * size)
        medians.append(float(np.median(distance[ring])) if ring.any() else 0.0)
    return np.array(medians)


def strip_histogram(pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(1024,) float32: the edges of the strip around the eyes (``edge_strip``)."""
    angle = eye_line_angle(landmarks)
    size = landmark_window(landmarks, 1.0).side
    middle = (landmarks[EYE_OUTER_RIGHT, :2] + landmarks[EYE_OUTER_LEFT, :2]) / 2
    centre = middle + np.array([-np.sin(angle), np.cos(angle)]) * _LOWERED * size
    return edge_strip(pixels, centre, _STRIP_PER_FACE * size, angle).edges


def glasses_mask(landmarks: np.ndarray, distance: np.ndarray, contrast: np.ndarray, size: float) -> np.ndarray:
    """(S, S) bool: frames, and whole dark lenses, of glasses that are known to be worn.

    ``distance`` (S, S) from the skin's colour in standard deviations, ``contrast`` (S, S) local contrast of log
    luminance, ``size`` the face's height in pixels. Skin behind clear lenses is not included.
    """
    side = distance.shape[0]
    eyes = [polygon_mask(landmarks, eye, side) for eye in (EYE_RIGHT, mirrored(EYE_RIGHT))]
    brows = polygon_mask(landmarks, BROW_RIGHT, side) | polygon_mask(landmarks, mirrored(BROW_RIGHT), side)
    lenses = [grown(eye, _LENS_REACH * size) for eye in eyes]
    own = grown(eyes[0] | eyes[1], 0.02 * size) | grown(brows, 0.012 * size)
    band = grown(lenses[0] | lenses[1] | _between(lenses, side), 0.02 * size)
    frames = band & ~own & ((distance > _FRAME_DISTANCE) | (contrast > _FRAME_CONTRAST))
    mask = grown(frames, 0.008 * size)
    for eye, lens, dark in zip(eyes, lenses, _lens_distances(landmarks, distance, size) > _DARK_LENS, strict=True):
        if dark:
            mask |= lens & (grown(eye, 0.05 * size) | brows | (distance > _FRAME_DISTANCE))
    return mask


def _between(lenses: list[np.ndarray], side: int) -> np.ndarray:
    """The bridge: a thick line between the centres of both lenses."""
    bridge = np.zeros((side, side), np.uint8)
    middles = []
    for lens in lenses:
        rows, columns = np.nonzero(lens)
        if len(rows) == 0:
            return bridge.astype(bool)
        middles.append((int(columns.mean()), int(rows.mean())))
    rows = np.nonzero(lenses[0].any(axis=1))[0]
    cv2.line(bridge, middles[0], middles[1], 1, max(1, len(rows) // 2))
    return bridge.astype(bool)
