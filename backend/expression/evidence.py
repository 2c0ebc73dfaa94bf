"""Evidence of a picture about a face of unknown identity: landmarks, gradients around eyes and mouth, the mouth's
colours, and the landmark net's points and features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from backend.expression.tongue import tongue_out
from backend.fitting.initial_pose import face_scale
from backend.models.landmarks.apply import surface_landmarker
from backend.photos.faces.landmarks import landmark_window, mean_landmarks

WINDOW_PER_FACE, WINDOW_PIXELS = 1.25, 144
EYE, MOUTH, FACE, COLOURS = (48, 48), (64, 48), (64, 64), (12, 9)
"""Patches' width and height in pixels."""
EYE_SIDE, MOUTH_SIDE, FACE_SIDE = 0.62, 0.95, 1.6
"""Patches' widths in ``face_scale``."""
EYE_RAISED = 0.06
RIGHT_EYE, LEFT_EYE, AROUND_MOUTH, MIDDLE = (33, 133), (263, 362), (61, 291, 0, 17), (1, 168, 33, 263)
"""Landmarks whose mean is the centre of a patch."""


@dataclass(frozen=True)
class FaceEvidence:
    """Evidence of one face in one picture.

    Attributes
    ----------
    landmarks : (478, 3) pixels. width : of the picture, pixels.
    eyes : (2, E) histograms of oriented gradients (Dalal & Triggs 2005) of the left and the mirrored right eye.
    mouth : (2, M) of the mouth and of its mirror image. face : (2, F) likewise of the whole face.
    colours : (2, C) CIELAB of the mouth at ``COLOURS`` pixels relative to the face, and its mirror image: teeth, tongue
        and a dark mouth.
    tongue : how far a tongue is out, 0 to 1 (see ``tongue_out``).
    surface : (478, 2) points of the landmark net, pixels; None where it is not trained.
    impression : (2, H) features of the landmark net for the whole face and its mirror image
        (``SurfaceLandmarker.impression``); None likewise.
    """

    landmarks: np.ndarray
    width: int
    eyes: np.ndarray
    mouth: np.ndarray
    face: np.ndarray
    colours: np.ndarray
    tongue: float = 0.0
    surface: np.ndarray | None = None
    impression: np.ndarray | None = None

    def on_surface(self) -> np.ndarray:
        """(478, 2) the landmark net's points; the detector's where there are none."""
        return self.landmarks[:, :2] if self.surface is None else self.surface

    def mirrored(self) -> FaceEvidence:
        """The evidence of the mirrored picture."""
        landmarks = self._swapped(self.landmarks)
        surface = None if self.surface is None else self._swapped(self.surface)
        swapped = self.eyes[::-1], self.mouth[::-1], self.face[::-1], self.colours[::-1]
        impression = None if self.impression is None else self.impression[::-1]
        return FaceEvidence(landmarks, self.width, *swapped, self.tongue, surface, impression)

    def _swapped(self, landmarks: np.ndarray) -> np.ndarray:
        mirrored = landmarks[mean_landmarks().mirror].copy()
        mirrored[:, 0] = self.width - mirrored[:, 0]
        return mirrored


def evidence_of_window(
    window: np.ndarray, landmarks: np.ndarray, width: int, surface: np.ndarray | None = None
) -> FaceEvidence:
    """Evidence of a face with landmarks (478, 3) in a picture ``width`` pixels wide. window : (144, 144, 3) uint8 sRGB,
    upright, ``landmark_window(landmarks, WINDOW_PER_FACE)``; ``surface`` as in the result."""
    grey = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY)
    points = _in_window(landmarks, landmarks)
    scale = face_scale(points)
    raised = np.array([0.0, -EYE_RAISED * scale])
    left = _patch(grey, points[list(LEFT_EYE)].mean(0) + raised, EYE_SIDE * scale, EYE)
    right = _patch(grey, points[list(RIGHT_EYE)].mean(0) + raised, EYE_SIDE * scale, EYE)[:, ::-1]
    mouth = _patch(grey, points[list(AROUND_MOUTH)].mean(0), MOUTH_SIDE * scale, MOUTH)
    face = _patch(grey, points[list(MIDDLE)].mean(0), FACE_SIDE * scale, FACE)
    colours = _relative_colours(window, points, scale)
    return FaceEvidence(
        landmarks=np.asarray(landmarks, dtype=np.float64),
        width=width,
        eyes=np.stack([_gradients(left, EYE), _gradients(right, EYE)]),
        mouth=np.stack([_gradients(mouth, MOUTH), _gradients(mouth[:, ::-1], MOUTH)]),
        face=np.stack([_gradients(face, FACE), _gradients(face[:, ::-1], FACE)]),
        colours=np.stack([colours.ravel(), colours[:, ::-1].ravel()]),
        tongue=tongue_out(window, points),
        surface=surface,
        impression=_impression(window, landmarks, surface),
    )


def _impression(window: np.ndarray, landmarks: np.ndarray, surface: np.ndarray | None) -> np.ndarray | None:
    landmarker = surface_landmarker()
    if surface is None or landmarker is None:
        return None
    return landmarker.impression(window, _in_window(landmarks, surface))


def _relative_colours(window: np.ndarray, points: np.ndarray, scale: float) -> np.ndarray:
    """(height, width, 3) of the mouth in CIELAB, minus the face's mean, over the face's standard deviation."""
    lab = cv2.cvtColor(window, cv2.COLOR_RGB2LAB).astype(np.float32)
    face = _patch(lab, points[list(MIDDLE)].mean(0), 0.8 * FACE_SIDE * scale, (16, 16)).reshape(-1, 3)
    small = cv2.resize(
        _patch(lab, points[list(AROUND_MOUTH)].mean(0), MOUTH_SIDE * scale, MOUTH),
        COLOURS,
        interpolation=cv2.INTER_AREA,
    )
    spread = np.maximum(face.std(0), [8.0, 3.0, 3.0])
    return np.clip((small - face.mean(0)) / spread, -6.0, 6.0)


def _in_window(landmarks: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (478, 2 or more) of the picture in pixels of the upright window around ``landmarks``, (478, 2)."""
    return landmark_window(landmarks, WINDOW_PER_FACE).from_picture(points[:, :2], WINDOW_PIXELS)


def _patch(grey: np.ndarray, centre: np.ndarray, side: float, size: tuple[int, int]) -> np.ndarray:
    """(height, width) patch around ``centre``, ``side`` window pixels wide."""
    width, height = size
    factor = width / side
    offset = [width / 2 - factor * centre[0] - 0.5 + 0.5 * factor, height / 2 - factor * centre[1] - 0.5 + 0.5 * factor]
    matrix = np.array([[factor, 0, offset[0]], [0, factor, offset[1]]])
    return cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


@cache
def _descriptor(size: tuple[int, int]) -> cv2.HOGDescriptor:
    return cv2.HOGDescriptor(size, (16, 16), (8, 8), (8, 8), 9)


def _gradients(patch: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return _descriptor(size).compute(np.ascontiguousarray(patch)).ravel()
