"""Soft masks in UV space: grown ones, and what photos' labels say."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from backend.geometry.disc import disc
from backend.photos.collection import FaceClass
from backend.texture.unwrapping.atlas import SurfaceAtlas
from backend.texture.unwrapping.photo_selection import SurveyedPhoto


def labelled_share(atlas: SurfaceAtlas, photos: Sequence[SurveyedPhoto], face_class: FaceClass) -> np.ndarray:
    """(S, S) in [0, 1], the share of what photos show that is labelled ``face_class``."""
    votes = [p.samples.trust * p.unwrap.weight * (p.unwrap.labels == face_class) for p in photos]
    total = sum(p.samples.trust * p.unwrap.weight for p in photos)
    return atlas.image((sum(votes) / np.maximum(total, 1e-3)).astype(np.float32))


def grown(mask: np.ndarray, radius: int, gap: int) -> np.ndarray:
    """A soft mask (S, S) without gaps of ``gap`` pixels, grown by ``radius`` and blurred."""
    steps = np.round(mask * 255.0).astype(np.uint8)  # in bytes several times as fast
    for operation, size in ((cv2.MORPH_CLOSE, gap), (cv2.MORPH_DILATE, radius)):
        if size > 0:
            steps = cv2.morphologyEx(steps, operation, disc(size))
    return cv2.GaussianBlur(steps.astype(np.float32) / np.float32(255.0), (0, 0), max(radius, 1) * 0.7)
