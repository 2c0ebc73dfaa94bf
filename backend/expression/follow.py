"""Tracking of one face from frame to frame.

A whole frame or photo with landmarks, in the form that the fit uses.
"""

from dataclasses import dataclass, replace

import numpy as np

from backend.expression.reading import WINDOW_PER_FACE, WINDOW_PIXELS, FaceEvidence, evidence_of_window, posed_depth
from backend.fitting.detector_model import face_scale
from backend.models.landmarks import inside_by_net, surface_landmarker
from backend.photos import faces
from backend.photos.collection import PhotoFace, PhotoQuality, SurfaceLandmarks

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
        yaw_degrees=faces.head_pose(landmarks).yaw,
        quality=_UNRATED,
    )


@dataclass(frozen=True)
class FrameFace:
    """A face in a picture.

    Attributes
    ----------
    face : with its pixels replaced by an empty array of the same shape, to save memory. evidence : of the pixels.
    """

    face: PhotoFace
    evidence: FaceEvidence

    @property
    def covered(self) -> bool:
        """Whether the face is almost fully occluded: the landmark net predicts deviations several times those in
        profiles and beside hands, so a reading would be meaningless."""
        return self.face.surface is not None and unsure_percent(self.face.surface) > COVERED_PERCENT


def unsure_percent(surface: SurfaceLandmarks) -> float:
    """The median deviation that the landmark net predicts, in per cent of the face's scale."""
    return float(100.0 * np.median(surface.deviation) / face_scale(surface.positions))


def frame_face(face: PhotoFace, surface: SurfaceLandmarks | None) -> FrameFace:
    """A face of ``face_in_frame`` with its evidence; ``surface`` where the landmark net has run already."""
    pixels, landmarks = face.pixels, face.landmarks
    landmarker = surface_landmarker()
    if surface is None and landmarker is not None:
        surface = landmarker.find(pixels, landmarks)
    face = replace(face, surface=surface)
    window = faces.landmark_window(landmarks, WINDOW_PER_FACE).cut(pixels, WINDOW_PIXELS)
    points = None if surface is None else surface.positions
    evidence = evidence_of_window(window, landmarks, pixels.shape[1], points)
    return FrameFace(replace(face, pixels=np.broadcast_to(np.uint8(0), pixels.shape)), evidence)


SEARCH_SIDE = 640
SEARCH_EVERY = 6
"""Frames between two searches of the whole picture while no face is there (the first three frames all search)."""
SURE_PERCENT = 4.0
"""Largest median deviation of the landmark net's points, in per cent of the face's scale, at which a face counts as
found that the detector misses. Profiles have 1.3 to 2.6, faces behind hair or hands 5 to 14, background 14 to 24."""
MOST_JUMP = 0.5
"""Largest motion, in the face's scale, from frame to frame of a face that only the net finds."""


@dataclass(frozen=True)
class FrameLandmarks:
    """A face's landmarks in a picture.

    Attributes
    ----------
    landmarks : (478, 3) pixels, the detector's outline and the net's places inside. Where it finds none (mostly in
        profiles) or a false face, the landmark net's, with the mean face's depths.
    surface : the landmark net's points, None where it is not trained.
    """

    landmarks: np.ndarray
    surface: SurfaceLandmarks | None

    @property
    def sure(self) -> bool:
        """Whether the landmark net, where it was used, confirms the face."""
        return self.surface is None or unsure_percent(self.surface) <= COVERED_PERCENT


class FaceFollower:
    """Finds the largest face, then tracks it; searches again when it is lost."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._missing = 0

    def __call__(self, pixels: np.ndarray) -> FrameLandmarks | None:
        """The tracked face in (H, W, 3) uint8 sRGB pixels, None where it is not found."""
        match = None
        if self._last is not None:
            match = self._follow(pixels, self._last)
        if match is None and (self._missing < 3 or self._missing % SEARCH_EVERY == 0):
            match = self._search(pixels)
        self._missing = 0 if match is not None else self._missing + 1
        self._last = None if match is None else match.landmarks
        return match

    def _follow(self, pixels: np.ndarray, last: np.ndarray) -> FrameLandmarks | None:
        detected = _with_surface(pixels, faces.follow_landmarks(pixels, last))
        if detected is not None and detected.sure:
            return detected
        landmarker = surface_landmarker()
        if landmarker is None:
            return None
        surface = landmarker.find(pixels, last)
        moved = np.linalg.norm(np.median(surface.positions - last[:, :2], axis=0))
        return _found_by_net(surface) if moved < MOST_JUMP * face_scale(last) else None

    def _search(self, pixels: np.ndarray) -> FrameLandmarks | None:
        small, factor = faces.fit_inside(pixels, SEARCH_SIDE)
        for face in faces.detect_faces(small)[:3]:
            centre = (face.centre[0] / factor, face.centre[1] / factor)
            match = find_face(pixels, replace(face, centre=centre, side=face.side / factor))
            if match is not None:
                return match
        return None


def find_face(pixels: np.ndarray, face: faces.DetectedFace) -> FrameLandmarks | None:
    """The face in a detected box. Landmarks are the detector's where the landmark net confirms them. Where it does not,
    or there are none (as in profiles), they are the net's if confident, else the detector's; None without either."""
    detected = _with_surface(pixels, faces.find_landmarks(pixels, face))
    if detected is not None and detected.sure:
        return detected
    landmarker = surface_landmarker()
    return (None if landmarker is None else _found_by_net(landmarker.find_in_box(pixels, face))) or detected


def _with_surface(pixels: np.ndarray, landmarks: np.ndarray | None) -> FrameLandmarks | None:
    landmarker = surface_landmarker()
    if landmarks is None or landmarker is None:
        return None if landmarks is None else FrameLandmarks(landmarks, None)
    surface = landmarker.find(pixels, landmarks)
    found = FrameLandmarks(landmarks, surface)
    return replace(found, landmarks=inside_by_net(landmarks, surface)) if found.sure else found


def _found_by_net(surface: SurfaceLandmarks) -> FrameLandmarks | None:
    """The net's points in place of the detector's; None where their deviations are too large for a face."""
    if unsure_percent(surface) > SURE_PERCENT:
        return None
    try:
        landmarks = np.column_stack([surface.positions, posed_depth(surface.positions)])
    except ValueError:  # no pose explains them
        return None
    return FrameLandmarks(landmarks.astype(np.float32), surface)
