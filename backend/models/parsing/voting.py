"""What all photos of a person say together: glasses, hats, beards.

Per-person voting on glasses, moustache, beard and hat over all photos.

Glasses of low visibility (rimless, pale wires) in one photo of a person who wears them in the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from backend.models.parsing.accessories import AccessoryScores, vote_on_hats
from backend.models.parsing.apply import WORK_SIDE, face_parser
from backend.models.parsing.network import class_probabilities
from backend.photos.collection import FaceClass, PhotoFace
from backend.photos.faces import fit_inside, landmark_window
from backend.photos.regions import BROW_RIGHT, EYE_RIGHT, NOSE_BRIDGE, grown, mirrored, near_eyes, polygon_mask

_LARGEST_VOTE = (2.0, 4.0, 4.0)
"""Largest log odds that a person's other photos add to those of one photo, for glasses, which come and go, moustache
and beard, which stay. Of the decisions on 834 press photos (``evaluate parsing --press``) 10 moustaches are missed and
2 invented with 2, 8 and none with 4; beards 17 and 16 missed, none invented."""


def vote_over_photos(scores: Sequence[AccessoryScores]) -> tuple[AccessoryScores, ...]:
    """Each photo's scores with the votes of the person's other photos added.

    A vote is the hyperbolic tangent of half the log odds: probability for minus probability against. The mean vote
    counts at most ``_LARGEST_VOTE``, so that a confident photo is not overruled, because people shave. Hats have a vote
    of their own (``vote_on_hats``).
    """
    known = np.array([_scores(each) for each in scores]).reshape(-1, 3)
    hats = vote_on_hats([each.headwear for each in scores])
    votes = np.tanh(known / 2)
    others = np.nansum(votes, axis=0) - np.nan_to_num(votes)
    count = np.maximum((~np.isnan(votes)).sum(axis=0) - ~np.isnan(votes), 1)
    changed = known + np.array(_LARGEST_VOTE) * others / count
    return tuple(AccessoryScores(*map(float, row), hat) for row, hat in zip(changed, hats, strict=True))


def same_decisions(one: AccessoryScores, other: AccessoryScores) -> bool:
    """Whether both have the same decisions."""
    if any((a > 0) != (b > 0) for a, b in zip(_scores(one), _scores(other), strict=True)):
        return False
    return _hat(one) == _hat(other)


def _scores(worn: AccessoryScores) -> tuple[float, float, float]:
    return worn.glasses, worn.moustache, worn.beard


def _hat(worn: AccessoryScores) -> bool:
    return worn.headwear is not None and worn.headwear.score > 0


_MAJORITY = 2 / 3
"""Least share of a person's photos with glasses for adding them to the rest."""
_HINT = 0.1
"""Least mean probability of glasses around the eyes. Three missed photos of rimless glasses have 0.107 to 0.157; of 90
others without glasses in their labels 7 are above; a hardly visible wire has 0.078. Chosen on them."""
_BESIDE_BROWS = 0.03  # heights of the face: labels are broader than fine rims, which do not touch the brows
_NEAR_GLASSES = (*EYE_RIGHT, *mirrored(EYE_RIGHT), *BROW_RIGHT, *mirrored(BROW_RIGHT), *NOSE_BRIDGE)


def vote_on_glasses(faces: Sequence[PhotoFace], device: str = "cpu") -> tuple[PhotoFace, ...]:
    """A person's faces with glasses added to the labels where most other photos have them and the net finds a hint.

    One photo alone is not enough evidence, because bags under the eyes look like rims. So nothing changes unless most
    photos have glasses in their labels.
    """
    worn = [bool((face.labels == FaceClass.GLASSES).any()) for face in faces]
    if all(worn) or sum(worn) < max(2.0, _MAJORITY * len(faces)):
        return tuple(faces)
    wearing = [face for face, known in zip(faces, worn, strict=True) if known]
    return tuple(
        face if known or not _has_hint(face, device) else replace(face, labels=_with_glasses_of(face, wearing))
        for face, known in zip(faces, worn, strict=True)
    )


def _has_hint(face: PhotoFace, device: str) -> bool:
    """Whether the net's probability of glasses around the eyes exceeds ``_HINT``."""
    small, factor = fit_inside(face.pixels, WORK_SIDE)
    landmarks = face.landmarks * np.float32(factor)
    near = near_eyes(landmarks, small.shape[0])
    if not near.any():
        return False
    return float(class_probabilities(face_parser(device), small, landmarks)[FaceClass.GLASSES][near].mean()) > _HINT


def _with_glasses_of(face: PhotoFace, wearing: Sequence[PhotoFace]) -> np.ndarray:
    """(S, S) labels of a face with glasses on its skin where most of the others have them, warped to its landmarks, but
    not beside the brows."""
    places = face.landmarks[list(_NEAR_GLASSES), :2]
    share = np.zeros(face.labels.shape, np.float32)
    for other in wearing:
        theirs = np.column_stack([other.landmarks[list(_NEAR_GLASSES), :2], np.ones(len(places))])
        turned = np.linalg.lstsq(theirs, places, rcond=None)[0].T  # (2, 3) affine
        turned[:, 2] += turned[:, :2] @ np.array([0.5, 0.5]) - 0.5  # OpenCV's pixel centres are whole numbers
        glasses = (other.labels == FaceClass.GLASSES).astype(np.float32)
        share += cv2.warpAffine(glasses, turned, face.labels.shape[::-1]) / len(wearing)
    side, size = face.labels.shape[0], landmark_window(face.landmarks, 1.0).side
    brows = polygon_mask(face.landmarks, BROW_RIGHT, side) | polygon_mask(face.landmarks, mirrored(BROW_RIGHT), side)
    there = (share > 0.5) & (face.labels == FaceClass.SKIN) & ~grown(brows, _BESIDE_BROWS * size)
    return np.where(there, np.uint8(FaceClass.GLASSES), face.labels)
