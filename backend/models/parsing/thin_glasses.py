"""Brows behind glasses with thin frames, which the labels hide."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import landmark_window
from backend.photos.regions.masks import grown
from backend.photos.regions.polygons import BROW_RIGHT, EYE_RIGHT, mirrored, polygon_mask
from backend.rendering.color import linear_from_srgb

_CLEAR_SHARE = 0.5  # of an eye's outline
_FRAME_DARKNESS, _THICK_SHARE = 0.8, 0.38
"""Log units by which a dark frame is darker than skin; least share of its label if it is thick. A wire's label is
mostly skin: 0.05 to 0.32 of it is so dark on 24 photos of three people, but 0.43 to 0.72 on 17 of two with thick
frames."""
_AROUND_BROWS, _BESIDE_BROWS = 0.2, 0.03  # heights of the face
_BROW_DARKNESS, _BROW_HUE = (
    0.35,
    0.35,
)  # log units: least darkness of a brow behind a frame against skin; tolerance of its hue


def brows_behind_glasses(labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) in which dark brow-coloured pixels behind thin frames and clear lenses are BROWS.

    The label of a wire frame is several times as thick as the wire, and often overlaps a brow's lower edge. Frames
    count as thin where few pixels of their label beside the brows are very dark, lenses as clear where the eyes behind
    them are labelled as eyes. pixels (S, S, 3) uint8 sRGB; landmarks (478, 2 or 3) in them.
    """
    side = labels.shape[0]
    skin, glasses = labels == FaceClass.SKIN, labels == FaceClass.GLASSES
    if not glasses.any() or not skin.any():
        return labels
    brows = np.zeros(labels.shape, bool)
    for brow, eye in ((BROW_RIGHT, EYE_RIGHT), (mirrored(BROW_RIGHT), mirrored(EYE_RIGHT))):
        behind = labels[polygon_mask(landmarks, eye, side)]
        if (behind == FaceClass.EYES).sum() >= _CLEAR_SHARE * max(len(behind), 1):
            brows |= polygon_mask(landmarks, brow, side)
    size = landmark_window(landmarks, 1.0).side
    around, frame = grown(brows, _AROUND_BROWS * size) & skin, glasses & ~grown(brows, _BESIDE_BROWS * size)
    if not around.any() or not frame.any():
        return labels
    log = np.log(np.maximum(linear_from_srgb(pixels), 1e-3))
    typical = np.median(log[around], axis=0)
    darker = typical.mean() - log.mean(-1)
    if (darker[frame] > _FRAME_DARKNESS).mean() > _THICK_SHARE:
        return labels
    hue = typical - typical.mean()
    own = log - log.mean(-1, keepdims=True)
    share = np.clip(own @ hue / max(float(hue @ hue), 1e-6), 0.0, 1.0)  # position between grey and the skin's hue
    plain = np.linalg.norm(own - share[..., None] * hue, axis=-1) < _BROW_HUE
    return np.where(brows & glasses & (darker > _BROW_DARKNESS) & plain, np.uint8(FaceClass.BROWS), labels)
