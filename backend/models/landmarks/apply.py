"""Points of the face's surface by the landmark net, in windows around a detected face."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from backend.models.checkpoints import load_model, load_weights_into
from backend.models.landmarks import LANDMARK_NET
from backend.models.landmarks.network import WINDOW_PER_FACE, LandmarkGuess, LandmarkNet, LandmarkNetConfig
from backend.photos.collection import PhotoFace, SurfaceLandmarks
from backend.photos.faces.detect import DetectedFace
from backend.photos.faces.landmarks import landmark_window, mean_landmarks
from backend.photos.faces.sampling import Window

_FIRST = ((1.0, 0.0, False), (1.0, 0.0, True))
_VARIANTS = tuple(product((0.96,), (-0.05, 0.05), (False, True))) + tuple(
    product((1.04,), (-0.05, 0.05), (False, True))
)
"""Factors of the window's side, radians, mirrored: the mean over them hardly depends on the window's exact place."""

_NEAR = ((0.96, 0.05, False), (1.04, -0.05, True))

_BOX_WINDOWS = (1.35, 1.7)
"""Sides of the first windows around a detected box, per side of the box, which reaches from the brows to the chin."""


class SurfaceLandmarker:
    """The trained net for photographs."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, network: LandmarkNet, version: str, device: torch.device | str = "cpu") -> None:
        self.version, self.device = version, torch.device(device)
        self._network = network.eval().to(self.device, memory_format=torch.channels_last)

    @staticmethod
    def load(folder: Path | None = None, device: str = "cpu") -> SurfaceLandmarker:
        """Load ``assets/landmarks`` (or ``folder``).

        Raises
        ------
        LikenessError : ``missing_part`` when the net is not trained or its files are damaged.
        """
        weights = load_model(LANDMARK_NET.name, folder)
        network = LandmarkNet(LandmarkNetConfig.from_json(weights.config))
        load_weights_into(network, weights)
        return SurfaceLandmarker(network, weights.version, device)

    def find_in_box(self, pixels: np.ndarray, face: DetectedFace) -> SurfaceLandmarks:
        """Points of a face known only by its box, in a picture (H, W, 3) uint8 sRGB. Tries a window rotated like the
        box, whose angle is unreliable in profiles, and an upright one; returns the result with the lower deviation."""
        turned = zip(_BOX_WINDOWS, (face.angle, 0.0), strict=True)
        windows = [Window(face.centre, size * face.side, angle) for size, angle in turned]
        answers = [self.find(pixels, self._look(pixels, window, _FIRST).places) for window in windows]
        return min(answers, key=lambda answer: float(np.median(answer.deviation) / np.ptp(answer.places, axis=0).max()))

    def find(self, pixels: np.ndarray, landmarks: np.ndarray) -> SurfaceLandmarks:
        """Points of the face with detected ``landmarks`` (478, 2 or 3) in a picture (H, W, 3) uint8 sRGB.

        The first window is around these, the others around the net's own result, so that the result hardly depends on
        the detector.
        """
        return self.find_in(pixels, landmark_window(landmarks, WINDOW_PER_FACE))

    def find_in(self, pixels: np.ndarray, window: Window) -> SurfaceLandmarks:
        """The same from a known first window (about ``WINDOW_PER_FACE`` times as large as the face)."""
        first = self._look(pixels, window, _FIRST)
        return self._look(pixels, landmark_window(first.places, WINDOW_PER_FACE), _VARIANTS)

    def find_near(self, pixels: np.ndarray, window: Window) -> SurfaceLandmarks:
        """The same from two passes over a window that is nearly right: less accurate, in a fifth of the time."""
        return self._look(pixels, window, _NEAR)

    def impression(self, pixels: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """(2, H) features of the whole face with points (478, 2), and of its mirror image, from which the net predicts
        all points at once (``LandmarkGuess.hidden``)."""
        cut = landmark_window(landmarks, WINDOW_PER_FACE).cut(pixels, self._network.config.size)
        return self._guess(np.stack([cut, cut[:, ::-1]])).hidden.cpu().double().numpy()

    @torch.inference_mode()
    def _guess(self, cuts: np.ndarray) -> LandmarkGuess:
        """The last prediction for cut windows (N, S, S, 3) uint8."""
        pictures = torch.from_numpy(cuts).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        return self._network(pictures.contiguous(memory_format=torch.channels_last))[-1]

    def _look(
        self, pixels: np.ndarray, window: Window, variants: tuple[tuple[float, float, bool], ...]
    ) -> SurfaceLandmarks:
        size, mirror = self._network.config.size, mean_landmarks().mirror
        windows = [
            Window(window.centre, window.side * scale, window.angle + turn, flipped)
            for scale, turn, flipped in variants
        ]
        guess = self._guess(np.stack([one.cut(pixels, size) for one in windows]))
        found = zip(windows, *(one.cpu().double().numpy() for one in (guess.places, guess.deviation)), strict=True)
        places, deviations = [], []
        for one, place, deviation in found:
            order = mirror if one.flipped else slice(None)
            places.append(one.to_picture(place, 1)[order])
            deviations.append(one.side * deviation[order])
        return SurfaceLandmarks(np.mean(places, axis=0), np.mean(deviations, axis=0))


def surface_landmarker(device: str = "cpu") -> SurfaceLandmarker | None:
    """The shipped net; None where there is none. Raises ``DamagedFileError``."""
    return LANDMARK_NET.find(device)


def marks_in(faces: Sequence[PhotoFace], windows: Sequence[Window]) -> Tensor:
    """(N, 478, 3) the landmark net's points: x, y and standard deviation, in sides of the faces' windows.

    Raises ``ValueError`` for a face without them.
    """
    rows = []
    for face, window in zip(faces, windows, strict=True):
        if face.surface is None:
            raise ValueError(f"{face.name} has no points of the landmark net")
        places = window.from_picture(face.surface.places, 1.0)
        rows.append(np.column_stack([places, face.surface.deviation / window.side]))
    return torch.from_numpy(np.stack(rows)).float()
