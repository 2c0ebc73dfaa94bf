"""White and grey hair that the net labels as skin: in a colour photo it is less red than the face."""

from __future__ import annotations

import cv2
import numpy as np

from backend.models.parsing.skin_model import learn_skin, skin_features, without_colour
from backend.photos.collection import FaceClass
from backend.photos.faces.landmarks import landmark_window
from backend.photos.faces.sampling import fit_inside
from backend.photos.regions.masks import grown
from backend.photos.regions.polygons import FACE_OVAL, above_brows, face_normals, polygon_mask, skin_seeds

_SIDE = 192
"""Colours are compared in a crop of this size: four times as fast, and fine enough for hair."""
_PALE_RESIDUAL = -2.0
"""Residual of log R/G, in the skin's standard deviations, below which something above the brows is not skin."""
_LEAST_HAIR = 0.05
"""Least probability of hair: shine on a bald head has little red too, but there the net is confident."""
_OVERLAP = 0.02  # heights of the face: hair overlaps the face's outline, which ends at the middle of the forehead


def with_pale_hair(labels: np.ndarray, hair: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) uint8 in which skin above the brows that is much less red than the face is HAIR.

    hair (S, S) : its probability; pixels (S, S, 3) uint8 sRGB; landmarks (478, 3) in their pixels. Black-and-white
    pictures are not changed.
    """
    small, factor = fit_inside(pixels, _SIDE)
    places, side = np.asarray(landmarks) * factor, small.shape[0]
    oval = polygon_mask(places, FACE_OVAL, side)
    features = skin_features(cv2.GaussianBlur(small, (0, 0), 0.5))
    if without_colour(features[oval]):
        return labels
    seeds, normals = skin_seeds(places, side), face_normals(places, side)
    redness = learn_skin(features, normals, seeds, oval, monochrome=False).residual(features, normals)[..., 1]
    redness = cv2.resize(redness.astype(np.float32), labels.shape[::-1], interpolation=cv2.INTER_LINEAR)
    size = landmark_window(landmarks, 1.0).side
    brows = np.flatnonzero(above_brows(landmarks, labels.shape[0]).any(axis=1)).max(initial=-1)
    place = ~grown(polygon_mask(landmarks, FACE_OVAL, labels.shape[0]), -_OVERLAP * size)
    place[brows + 1 :] = False
    result = labels.copy()
    result[(labels == FaceClass.SKIN) & place & (redness < _PALE_RESIDUAL) & (hair > _LEAST_HAIR)] = FaceClass.HAIR
    return result
