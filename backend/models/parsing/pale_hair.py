"""White and grey hair that a net takes for skin: in a colour photo it is less red than the face."""

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
"""Colours are looked at in a crop of this size: four times as fast, and hair is no finer a thing."""
_PALE = -2.0
"""Standard deviations of the face's own log R/G below its skin's from which something above the brows is not skin."""
_HAIR = 0.05
"""Least probability of hair: a bald head shines without red too, but there the net is sure."""
_INSIDE = 0.02  # heights of the face: hair hangs over its outline, which ends at the middle of the forehead


def with_pale_hair(labels: np.ndarray, hair: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) uint8 in which skin above the brows that is too pale for this face is HAIR.

    hair (S, S) is its probability; pixels (S, S, 3) uint8 sRGB; landmarks (478, 3) in their pixels. Black-and-white
    pictures are left as they are.
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
    place = ~grown(polygon_mask(landmarks, FACE_OVAL, labels.shape[0]), -_INSIDE * size)
    place[brows + 1 :] = False
    result = labels.copy()
    result[(labels == FaceClass.SKIN) & place & (redness < _PALE) & (hair > _HAIR)] = FaceClass.HAIR
    return result
