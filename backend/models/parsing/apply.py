"""Parse a head crop by the parsing nets."""

from __future__ import annotations

import cv2
import numpy as np

from backend.models.parsing.accessories import AccessoryScores
from backend.models.parsing.network import FaceParser
from backend.models.parsing.parsed_labels import FaceLabels, label_by_net
from backend.models.registry import PARSING, PARSING_OPINION
from backend.photos.collection import FaceClass
from backend.photos.faces import fit_inside

WORK_SIDE = 384  # largest side in pixels at which a head crop is labelled


def face_parser(device: str = "cpu") -> FaceParser:
    """The shipped parsing net. Raises ``LikenessError`` ("missing_part") without one, and ``DamagedFileError``."""
    return PARSING.load(device)


def second_parser(device: str = "cpu") -> FaceParser | None:
    """The second parsing net; None where it, or the package with its frozen features, is missing."""
    return PARSING_OPINION.find(device)


def label_face(
    pixels: np.ndarray, landmarks: np.ndarray, covered: tuple[float, float, float, float] | None = None
) -> np.ndarray:
    """(S, S) uint8 of ``FaceClass``; see ``look_at_face``."""
    return look_at_face(pixels, landmarks, covered).labels


def look_at_face(
    pixels: np.ndarray,
    landmarks: np.ndarray,
    covered: tuple[float, float, float, float] | None = None,
    accessories: AccessoryScores | None = None,
    device: str = "cpu",
) -> FaceLabels:
    """Label a head crop (S, S, 3) uint8 sRGB with landmarks (478, 3) in its pixels.

    SKIN is bare skin of the face, including the forehead up to the hairline. Clothes are BACKGROUND, and so is
    everything outside ``covered`` (left, top, right, bottom), the part of the crop inside the photo; the rest is
    padding. ``accessories`` decides about glasses, moustache and beard; None: decided from the picture. The nets run on
    ``device`` (``computing_device``). Raises ``LikenessError`` ("missing_part") without the first net.
    """
    small, factor = fit_inside(pixels, WORK_SIDE)
    places = np.asarray(landmarks, dtype=np.float64) * factor
    found = label_by_net(face_parser(device), small, places, second_parser(device), accessories)
    labels = found.labels if factor == 1.0 else enlarge_labels(found.labels, pixels)
    if covered is not None:
        labels[padding(covered, labels.shape)] = FaceClass.BACKGROUND
    return FaceLabels(labels, found.accessories)


def padding(covered: tuple[float, float, float, float], shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool of a crop of ``shape``: pixels outside ``covered`` (left, top, right, bottom), the photo's part."""
    left, top, right, bottom = (max(0, round(edge)) for edge in covered)
    outside = np.ones(shape, dtype=bool)
    outside[top:bottom, left:right] = False
    return outside


def enlarge_labels(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Enlarge labels (S, S) of a reduced crop to the full crop ``pixels`` (T, T, 3)."""
    return cv2.resize(labels, pixels.shape[1::-1], interpolation=cv2.INTER_NEAREST)
