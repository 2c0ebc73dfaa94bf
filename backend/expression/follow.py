"""The same face from frame to frame."""

from __future__ import annotations

import numpy as np

from backend.photos.detect import detect_faces
from backend.photos.landmarks import find_landmarks, follow_landmarks
from backend.photos.sampling import fit_inside

SEARCH_SIDE = 640
SEARCH_EVERY = 6
"""Frames between two searches of the whole picture while no face is there (the first three frames all search)."""


class FaceFollower:
    """Finds the largest face, then stays with it; searches again when it is lost."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._missing = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray | None:
        """Landmarks (478, 3) of the followed face in (H, W, 3) uint8 sRGB pixels, None where it is not seen."""
        found = None
        if self._last is not None:
            found = follow_landmarks(pixels, self._last)
        if found is None and (self._missing < 3 or self._missing % SEARCH_EVERY == 0):
            found = self._search(pixels)
        self._missing = 0 if found is not None else self._missing + 1
        self._last = found
        return found

    def _search(self, pixels: np.ndarray) -> np.ndarray | None:
        small, factor = fit_inside(pixels, SEARCH_SIDE)
        for face in detect_faces(small)[:3]:
            found = find_landmarks(small, face)
            if found is not None:
                found = (found / factor).astype(np.float32)
                return found if factor == 1.0 else follow_landmarks(pixels, found)
        return None
