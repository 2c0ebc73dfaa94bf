"""A whole frame or photo with landmarks, in the form that the fit uses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backend.expression.evidence import WINDOW_PER_FACE, WINDOW_PIXELS, FaceEvidence, evidence_of_window
from backend.fitting.initial_pose import face_scale
from backend.models.landmarks.apply import surface_landmarker
from backend.photos.collection import PhotoFace, PhotoQuality, SurfaceLandmarks
from backend.photos.faces.landmarks import head_pose, landmark_window

COVERED_PERCENT = 6.0
"""Per cent of the face's scale; usually 0.7 to 2, and 15 for a face behind a cap and a collar."""
_UNRATED = PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)


def face_in_frame(
    name: str,
    pixels: np.ndarray,
    landmarks: np.ndarray,
    source_size: tuple[int, int] | None = None,
    focal_px: float | None = None,
) -> PhotoFace:
    """``PhotoFace`` whose crop is the whole picture (H, W, 3), which may be a reduced ``source_size``; no parsing."""
    height, width = pixels.shape[:2]
    source_size = source_size or (width, height)
    return PhotoFace(
        name=name,
        source_size=source_size,
        focal_px=focal_px,
        pixels=pixels,
        crop_scale=width / source_size[0],
        crop_offset=(0.0, 0.0),
        landmarks=landmarks,
        labels=np.zeros((1, 1), np.uint8),
        monochrome=False,
        yaw_degrees=head_pose(landmarks).yaw,
        quality=_UNRATED,
    )


@dataclass(frozen=True)
class SeenFace:
    """A face in a picture.

    Attributes
    ----------
    face : with its pixels replaced by an empty array of the same shape, to save memory. evidence : of the pixels.
    window : (144, 144, 3) uint8 sRGB, the upright face (``landmark_window``, ``WINDOW_PER_FACE``).
    """

    face: PhotoFace
    evidence: FaceEvidence
    window: np.ndarray

    @property
    def covered(self) -> bool:
        """Whether the face is almost fully occluded: the landmark net predicts deviations several times those in
        profiles and beside hands, so a reading would be meaningless."""
        return self.face.surface is not None and unsure_percent(self.face.surface) > COVERED_PERCENT


def unsure_percent(surface: SurfaceLandmarks) -> float:
    """The median deviation that the landmark net predicts, in per cent of the face's scale."""
    return float(100.0 * np.median(surface.deviation) / face_scale(surface.places))


def seen_in_frame(
    name: str,
    pixels: np.ndarray,
    landmarks: np.ndarray,
    source_size: tuple[int, int] | None = None,
    focal_px: float | None = None,
    surface: SurfaceLandmarks | None = None,
) -> SeenFace:
    """As ``face_in_frame``; ``surface`` where the landmark net has run already."""
    face = face_in_frame(name, pixels, landmarks, source_size, focal_px)
    landmarker = surface_landmarker()
    if surface is None and landmarker is not None:
        surface = landmarker.find(pixels, landmarks)
    face = replace(face, surface=surface)
    window = landmark_window(landmarks, WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
    places = None if surface is None else surface.places
    evidence = evidence_of_window(window, landmarks, pixels.shape[1], places)
    return SeenFace(replace(face, pixels=np.broadcast_to(np.uint8(0), pixels.shape)), evidence, window)
