"""Glasses and beards from the parsing net's features: linear classifiers on a lattice of the face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from backend.asset_file import read_table
from backend.assets import ASSETS
from backend.models.parsing.edge_strip import eye_line_angle, load_classifier
from backend.photos.faces.landmarks import CHIN, EYE_OUTER_LEFT, EYE_OUTER_RIGHT, landmark_window

_NOSE_BASE = 2
_PIXELS_PER_FEATURE = 4.0


@dataclass(frozen=True)
class Lattice:
    """Points on the face, along the line through the eyes and across it, in heights of the face."""

    across: tuple[float, float, int]
    down: tuple[float, float, int]

    def points(self, landmarks: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """(rows, columns, 2) around ``middle`` (2,), for landmarks (478, 2 or 3) in the same pixels."""
        angle, size = eye_line_angle(landmarks), landmark_window(landmarks, 1.0).side
        axes = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        columns, rows = np.meshgrid(np.linspace(*self.across), np.linspace(*self.down))
        return middle + np.stack([columns, rows], axis=-1) @ axes


_EYES = Lattice((-0.44, 0.44, 11), (-0.1, 0.2, 5))
_MOUTH = Lattice((-0.32, 0.32, 9), (-0.2, 0.24, 7))


@dataclass(frozen=True)
class NetEvidence:
    """Log odds of glasses and of hair on the chin (a beard)."""

    glasses: float
    chin: float


@cache
def evidence_of_net() -> str:
    """Version of the parsing net that the classifiers belong to."""
    data = read_table(ASSETS / "parsing" / "glasses_by_net.npz")
    return str(data["net"])


def net_evidence(features: np.ndarray, mirrored: np.ndarray, landmarks: np.ndarray) -> NetEvidence:
    """Evidence of the face with ``landmarks`` (478, 2 or 3) in pixels of the face's square.

    features (C, H, W) : the net's for that square, at a quarter of its size. mirrored (C, H, W) : for its mirror image,
    mirrored back. The result is the mean of both; classifiers by ``trainer.classifiers.net_features``.
    """
    eyes = [eye_features(features, landmarks), eye_features(mirrored, landmarks, mirror=True)]
    mouths = [mouth_features(features, landmarks), mouth_features(mirrored, landmarks, mirror=True)]
    glasses, beard = load_classifier("glasses_by_net"), load_classifier("beard_by_net")
    return NetEvidence(
        sum(glasses.log_odds(row) for row in eyes) / 2,
        sum(beard.log_odds(row) for row in mouths) / 2,
    )


def eye_features(features: np.ndarray, landmarks: np.ndarray, mirror: bool = False) -> np.ndarray:
    """(55 C,) float32 samples of ``features`` (C, H, W) around the eyes; with ``mirror``, columns are reversed."""
    middle = (landmarks[EYE_OUTER_RIGHT, :2] + landmarks[EYE_OUTER_LEFT, :2]) / 2
    return _sampled(features, _EYES.points(landmarks, middle), mirror)


def mouth_features(features: np.ndarray, landmarks: np.ndarray, mirror: bool = False) -> np.ndarray:
    """(63 C,) float32 samples, the same between nose and chin."""
    return _sampled(features, _MOUTH.points(landmarks, (landmarks[_NOSE_BASE, :2] + landmarks[CHIN, :2]) / 2), mirror)


def _sampled(features: np.ndarray, points: np.ndarray, mirror: bool) -> np.ndarray:
    points = (points[:, ::-1] if mirror else points).reshape(-1, 2)
    places = points[:, ::-1].T / _PIXELS_PER_FEATURE - 0.5  # clamped at the border, as in training
    smooth = [cv2.blur(channel, (3, 3), borderType=cv2.BORDER_CONSTANT) for channel in features]
    sampled = [map_coordinates(channel, places, order=1, mode="nearest") for channel in smooth]
    return np.stack(sampled, axis=-1).astype(np.float32).ravel()
