"""Gaps of lids and lips: differences of two landmarks, in which the detector's error is smaller than in either."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.fitting.initial_pose import face_scale
from backend.fitting.landmark_targets import LandmarkModel
from backend.fitting.solver import PointTargets

LID_PAIRS = ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373))
LIP_PAIRS = ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402))
EYES = (((159, 145), (33, 133), range(468, 473)), ((386, 374), (263, 362), range(473, 478)))
"""Per eye, right first: upper and lower lid, corners, iris."""
LID_PERCENT, LIP_PERCENT = 0.7, 0.8
"""Standard deviation of a gap in per cent of the face's scale."""
LIP_PIXELS = 1.5
"""Further standard deviation of lip gaps in pixels: on small faces (scale 45) 2 % is best, on photographs 0.8 %."""
GAP_INFORMATION = 0.5
SHUT, IRIS_SEEN, OPEN = 0.09, 0.15, 0.22
"""Lid gap over the eye's width, as the detector finds it: of a shut eye, of one open enough to show the iris, and of an
open one where the person's own is not known."""


@dataclass(frozen=True)
class GapTargets:
    """Target differences of points in the picture.

    Attributes
    ----------
    upper, lower : (G,) rows of the ``PointTargets`` they belong to.
    deviation : (G,) pixels.
    share : (G,) factor on the gap between the targets.
    """

    upper: np.ndarray
    lower: np.ndarray
    deviation: np.ndarray
    share: np.ndarray


def lid_opening(landmarks: np.ndarray, eye: int) -> float:
    """Gap of the lids over the eye's width, of landmarks (478, 3); eye 0 is the person's right."""
    (top, bottom), (inner, outer), _ = EYES[eye]
    width = np.linalg.norm(landmarks[inner, :2] - landmarks[outer, :2])
    return float(np.linalg.norm(landmarks[top, :2] - landmarks[bottom, :2]) / max(width, 1e-6))


def gap_targets(model: LandmarkModel, landmarks: np.ndarray, open_lids: tuple[float, float]) -> GapTargets:
    """Gaps between the rows that ``landmark_targets`` makes of ``model.landmarks``, for landmarks (478, 3).

    The detector finds shut lids ``SHUT`` eye widths apart. For lids less open than ``open_lids`` (right, left; this
    person's usual ``lid_opening``), this bias is subtracted in proportion.
    """
    scale_px = face_scale(landmarks)
    pairs = np.array(LID_PAIRS + LIP_PAIRS)
    percent = np.array([LID_PERCENT] * len(LID_PAIRS) + [LIP_PERCENT] * len(LIP_PAIRS))
    pixels = np.array([0.0] * len(LID_PAIRS) + [LIP_PIXELS] * len(LIP_PAIRS))
    known = np.isin(pairs, model.landmarks).all(1)
    rows = np.searchsorted(model.landmarks, pairs[known])
    share = np.ones(len(pairs))
    for eye in range(2):
        opening = lid_opening(landmarks, eye)
        usual = max(open_lids[eye], 1.5 * SHUT)
        if opening < usual:
            share[3 * eye : 3 * eye + 3] = max(opening - SHUT, 0.0) / max(opening, 1e-6) * usual / (usual - SHUT)
    deviation = np.hypot(percent * scale_px / 100.0, pixels)
    return GapTargets(rows[:, 0], rows[:, 1], deviation[known], share[known])


def without_hidden_irises(targets: PointTargets, model: LandmarkModel, landmarks: np.ndarray) -> PointTargets:
    """The targets with irises weighted by how much of them the open lids show; landmarks (478, 3)."""
    information = targets.information.copy()
    for eye, (_, _, iris) in enumerate(EYES):
        rows = np.flatnonzero(np.isin(model.landmarks, list(iris)))
        information[rows] *= np.clip((lid_opening(landmarks, eye) - SHUT) / (IRIS_SEEN - SHUT), 0.0, 1.0)
    return replace(targets, information=information)
