"""Measure how useful a face crop is for reconstruction."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.collection import FaceClass, PhotoQuality
from backend.photos.faces.landmarks import landmark_window
from backend.photos.regions.polygons import FACE_OVAL, polygon_mask
from backend.photos.screening.settings import SCREENING

_COLOURFUL = (FaceClass.SKIN, FaceClass.LIPS, FaceClass.EYES, FaceClass.BROWS, FaceClass.MOUTH_INTERIOR)


def measure_quality(
    pixels: np.ndarray, landmarks: np.ndarray, labels: np.ndarray, label_factor: float, yaw: float
) -> PhotoQuality:
    """Quality of a head crop (S, S, 3) with landmarks (478, 3), its labels (T, T) and ``yaw`` in degrees.

    ``label_factor`` is T / S. Every part is 0 to 1; ``score`` is the product of the parts raised to their exponents.
    """
    face = polygon_mask(landmarks * label_factor, FACE_OVAL, labels.shape[0])
    small = cv2.resize(pixels, labels.shape[::-1], interpolation=cv2.INTER_AREA)
    parts = {
        "size": (size_quality(landmarks), SCREENING.size_exponent),
        "sharpness": (sharpness_quality(pixels, landmarks), SCREENING.sharpness_exponent),
        "yaw": (float(np.clip(1.15 - (abs(yaw) / 58) ** 2, 0.0, 1.0)), SCREENING.yaw_exponent),
        "exposure": (exposure_quality(small[face]), SCREENING.exposure_exponent),
        "occlusion": (occlusion_quality(labels, face), SCREENING.occlusion_exponent),
    }
    score = float(np.prod([part**exponent for part, exponent in parts.values()]))
    return PhotoQuality(score=score, **{name: part for name, (part, _) in parts.items()})


def face_size_px(landmarks: np.ndarray) -> float:
    """Height of the face's upright box in pixels."""
    return landmark_window(landmarks, 1.0).side


def size_quality(landmarks: np.ndarray) -> float:
    """0 for a face of 24 pixels, 1 from 400 on, logarithmic in between."""
    useless, good = SCREENING.useless_face_px, SCREENING.good_face_px
    ratio = np.log(max(face_size_px(landmarks), 1.0) / useless) / np.log(good / useless)
    return float(np.clip(ratio, 0.0, 1.0))


def sharpness_quality(pixels: np.ndarray, landmarks: np.ndarray) -> float:
    """Sharpness in [0, 1] from the ratio of Laplacian to gradient magnitude, over the face at a normalised scale.

    The ratio does not depend on contrast. Sharp portraits have 0.65; blurred by one pixel in 192 of face 0.5, by two
    0.37, by four 0.28.
    """
    window = landmark_window(landmarks, 1.0)
    grey = cv2.cvtColor(window.cut(pixels, SCREENING.measure_side), cv2.COLOR_RGB2GRAY).astype(np.float32)
    margin = SCREENING.measure_side // 6
    inner = cv2.GaussianBlur(grey, (0, 0), 0.8)[margin:-margin, margin:-margin]
    across, down = cv2.Sobel(inner, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(inner, cv2.CV_32F, 0, 1, scale=1 / 8)
    gradient = float(np.sqrt((across**2 + down**2).mean()))
    ratio = float(cv2.Laplacian(inner, cv2.CV_32F).std()) / (gradient + SCREENING.noise)
    return float(np.clip((ratio - SCREENING.blurred) / (SCREENING.sharp - SCREENING.blurred), 0.0, 1.0))


def exposure_quality(face_pixels: np.ndarray) -> float:
    """Exposure in [0, 1] from the share of clipped pixels and the mean level of face pixels (N, 3) uint8."""
    if len(face_pixels) == 0:
        return 0.0
    clipped = np.mean((face_pixels.max(axis=1) >= SCREENING.white) | (face_pixels.max(axis=1) <= SCREENING.black))
    level = float(face_pixels.mean()) / 255
    too_dark, too_bright = np.clip(level / 0.25, 0.0, 1.0), np.clip((1.0 - level) / 0.12, 0.0, 1.0)
    return float(np.clip(1.0 - 2.5 * clipped, 0.0, 1.0) * too_dark * too_bright)


def occlusion_quality(labels: np.ndarray, face: np.ndarray) -> float:
    """Unoccluded share of the face oval (S, S) bool."""
    hidden = (FaceClass.GLASSES, FaceClass.HAIR, FaceClass.OCCLUDER, FaceClass.BACKGROUND)
    inside = labels[face]
    return float(1.0 - np.isin(inside, hidden).mean()) if len(inside) else 0.0


def is_monochrome(pixels: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a head crop (S, S, 3) sRGB with labels (S, S) is black-and-white or of one tint (sepia).

    In a colour photo lips, eyes, brows and skin differ in colour even at equal brightness; in a tinted photo colour is
    a function of brightness.
    """
    face = np.isin(labels, _COLOURFUL)
    if face.sum() <= 100:
        face = np.ones(labels.shape, dtype=bool)
    bright = max(20.0, float(np.percentile(pixels[face], 98)))  # normalises dark photos, whose colours are weak
    lab = cv2.cvtColor(np.clip(pixels.astype(np.float32) / bright, 0, 1), cv2.COLOR_RGB2LAB)
    seen = lab[face]
    seen = seen[:: max(1, len(seen) // 20_000)]
    if np.abs(seen[:, 1:]).mean() < SCREENING.grey_chroma:
        return True
    level = seen[:, 0] / 100
    design = np.stack([np.ones_like(level), level, level**2, level**3], axis=1)
    solution, *_ = np.linalg.lstsq(design, seen[:, 1:], rcond=None)
    return bool(np.abs(seen[:, 1:] - design @ solution).mean() < SCREENING.tint_spread)
