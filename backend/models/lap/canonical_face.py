"""LAP's result for one person: the canonical surface with its albedo, and the light and view of each photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.photos.faces.sampling import Window
from backend.rendering.camera_models import LAP_PIVOT, CanonicalCamera


@dataclass(frozen=True)
class PhotoAlignment:
    """Similarity from LAP's view of a photo to the square cut out of the photo: scale, offset and tilt.

    ``square_px = centre + scale * R(tilt) (view_px - centre) + offset``, with the middle of both as the centre. It is
    needed because crops of one person differ in size, place and tilt by more than the networks' views can express.

    Attributes
    ----------
    scale : factor. tilt : radians, clockwise in the picture. offset : (2,) pixels of the square.
    """

    scale: float = 1.0
    tilt: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)

    def to_square(self, points: np.ndarray, size: int) -> np.ndarray:
        """Convert view pixels (..., 2) to square pixels."""
        return (points - size / 2) @ self._linear().T + size / 2 + np.asarray(self.offset)

    def to_view(self, points: np.ndarray, size: int) -> np.ndarray:
        """Convert square pixels (..., 2) to view pixels."""
        return (points - size / 2 - np.asarray(self.offset)) @ np.linalg.inv(self._linear()).T + size / 2

    def _linear(self) -> np.ndarray:
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return self.scale * np.array([[cos, -sin], [sin, cos]])


@dataclass(frozen=True)
class CanonicalPhoto:
    """LAP's result for one photo.

    Attributes
    ----------
    name : the photo's name.
    window : the upright square of ``PhotoFace.pixels`` that was the networks' input.
    alignment : from the networks' view to that square.
    rotation : (3, 3), translation : (3,) of the ``View``: R (p - pivot) + pivot + t, canonical to camera.
    ambient, diffuse : strengths of the light in [0, 1]; direction : (3,) unit vector along which it travels, canonical
        frame.
    depth : (S, S), albedo : (S, S, 3) sRGB in [0, 1]: the canonical face personalised to this photo's expression.
    """

    name: str
    window: Window
    alignment: PhotoAlignment
    rotation: np.ndarray
    translation: np.ndarray
    ambient: float
    diffuse: float
    direction: np.ndarray
    depth: np.ndarray
    albedo: np.ndarray

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Canonical points (..., 3) in the frame of the photo's camera."""
        pivot = np.asarray(LAP_PIVOT)
        return (points - pivot) @ self.rotation.T + pivot + self.translation


@dataclass(frozen=True)
class CanonicalFace:
    """One person's face in LAP's canonical frame, from all photos; S is the networks' resolution.

    The frame is that of ``CanonicalCamera`` (x right, y down, z forward, the face at depth 1): the face is neutral,
    looks into the camera, and fills the square of ``photos.faces.crop.face_square``. One unit is about a metre.

    Attributes
    ----------
    depth : (S, S) float64. normals : (S, S, 3) unit vectors out of the surface.
    albedo : (S, S, 3) sRGB in [0, 1], without the photos' light.
    confidence : (S, S) in [0, 1], from visibility in the photos and the networks' own confidence.
    landmarks : (468, 3) MediaPipe's, projected from the photos onto the surface; landmark_weights : (468,) in [0, 1], 0
        where no photo shows the landmark.
    photos : in the order of the input faces.
    version : of the networks.
    """

    depth: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    confidence: np.ndarray
    landmarks: np.ndarray
    landmark_weights: np.ndarray
    photos: tuple[CanonicalPhoto, ...]
    version: str

    @property
    def camera(self) -> CanonicalCamera:
        """The camera of the maps."""
        return CanonicalCamera(self.depth.shape)
