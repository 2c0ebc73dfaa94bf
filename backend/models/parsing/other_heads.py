"""Other people's heads in a head crop become background."""

from __future__ import annotations

import numpy as np

from backend.models.parsing.edge_strip import eye_line_angle
from backend.photos.collection import FaceClass
from backend.photos.faces.detect import DetectedFace, faces_in_view, overlap
from backend.photos.faces.landmarks import MESH_COUNT
from backend.photos.regions.polygons import FACE_OVAL, along_face, polygon_mask

_OF_OTHERS = (
    FaceClass.SKIN, FaceClass.GLASSES, FaceClass.HAIR, FaceClass.FACIAL_HAIR, FaceClass.EARS, FaceClass.NECK,
    FaceClass.OCCLUDER,
)  # fmt: skip
_SAME_OVERLAP, _LARGEST = 0.5, 1.6
"""Overlap of boxes from which they are the same face; a box larger than this times the face holds both heads."""
_RAISED, _WIDTH = 0.15, 0.8
"""In sides of a face box: height of the head's centre above the face's; width of a head relative to its height."""
_OWN_DISTANCE, _LARGEST_DISTANCE = 0.95, 1.3
"""Distances from a head's centre, in sides of its face box: up to the first everything is the head's own, whoever is
behind it; at the second a head and its hair end. Viewed on 799 press photos: hair in front of another face is kept up
to 0.95; from 1.05 on the next head's fringe is kept too."""


def without_other_heads(labels: np.ndarray, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Labels (S, S) uint8 in which hair, ears, glasses, hats and so on that are nearer to another head are BACKGROUND.

    pixels (S, S, 3) uint8 sRGB; landmarks (478, 2 or 3) in them. Distances are relative to the size of each head.
    """
    points = landmarks[:MESH_COUNT, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2)
    own = DetectedFace(middle, float((high - low).mean()), eye_line_angle(landmarks), 1.0)
    others = [
        face for face in faces_in_view(pixels) if overlap(face, own) < _SAME_OVERLAP and face.side < _LARGEST * own.side
    ]
    if not others:
        return labels
    side = labels.shape[0]
    here = _from_head(own, side)
    there = np.min([_from_head(face, side) for face in others], axis=0)
    theirs = (
        (there < here)
        & (there < _LARGEST_DISTANCE)
        & (here > _OWN_DISTANCE)
        & ~polygon_mask(landmarks, FACE_OVAL, side)
    )
    result = labels.copy()
    result[theirs & np.isin(labels, _OF_OTHERS)] = FaceClass.BACKGROUND
    return result


def _from_head(face: DetectedFace, side: int) -> np.ndarray:
    """(side, side) distance from the centre of a head, in sides of its face box."""
    across, down = along_face(face.centre, face.angle, face.side, side)
    return np.hypot(across / _WIDTH, down + _RAISED)
