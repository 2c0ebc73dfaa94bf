"""Triangle surfaces: the closest point, what cameras see of them, and the landmarks of a face on a bare mesh."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.geometry.closest import Closest
from backend.geometry.vectors import area_vectors
from backend.photos.faces import landmarks_of_largest
from backend.photos.regions import FACE_OVAL
from backend.rendering.camera import Camera, look_at
from backend.rendering.rasterize import depth_map, facing_cosine, places_at, point_visibility
from backend.rendering.render import render_linear
from backend.rendering.spherical_harmonics import light_from_directions

CLAY = np.array([0.50, 0.36, 0.28])
"""Linear colour of a mesh without one; skin is what detectors know best."""
SIZE, DISTANCE, SPAN = 768, 2.0, 0.30
"""Pixels a side of a picture in which landmarks are looked for, metres from the camera and across."""
LAMPS = ((-0.5, 0.35, 0.8), (0.0, 0.4, 0.9), (0.5, 0.35, 0.8))
"""Directions of the lamp in three such pictures; the median counts."""


def visible(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, cameras: Sequence[Camera]) -> np.ndarray:
    """(N,) bool: points (N, 3) on a mesh that some camera sees."""
    seen = [point_visibility(points, camera, depth_map(vertices, triangles, camera)) > 0.5 for camera in cameras]
    return np.any(seen, axis=0)


def facing(yaw_degrees: float, target: np.ndarray) -> Camera:
    """The camera of a picture in which landmarks are looked for, with the head turned by ``yaw_degrees``."""
    return look_at(yaw_degrees, 0.0, 0.0, DISTANCE, SIZE * DISTANCE / SPAN, (SIZE, SIZE), target)


@dataclass(frozen=True)
class SurfaceLandmarks:
    """478 points on a mesh.

    Attributes
    ----------
    faces : (478,) int, -1 where none was found. barycentrics, positions : (478, 3), the latter NaN there.
    """

    faces: np.ndarray
    barycentrics: np.ndarray
    positions: np.ndarray

    @property
    def steady(self) -> np.ndarray:
        """(478,) bool, landmarks that were found, lie on the skin (no irises) and mark a fixed place (no outline)."""
        ids = np.arange(len(self.faces))
        return self.found & (ids < 468) & ~np.isin(ids, FACE_OVAL)

    @property
    def found(self) -> np.ndarray:
        """(478,) bool."""
        return self.faces >= 0

    def on(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """(478, 3) positions on other vertices of the same triangles, NaN where none was found."""
        corners = vertices[faces[np.maximum(self.faces, 0)]]
        positions = (corners * self.barycentrics[:, :, None]).sum(1)
        return np.where(self.found[:, None], positions, np.nan)


def find_surface_landmarks(
    vertices: np.ndarray, faces: np.ndarray, target: np.ndarray, **paint: np.ndarray
) -> SurfaceLandmarks:
    """Find the landmarks of a face that looks along +z in pictures of the bare mesh.

    Parameters
    ----------
    vertices : (V, 3) metres; faces : (F, 3). target : (3,) approximate centre of the face.
    paint : colours or texture as in ``render_linear``, which help the detector, such as dark irises; clay without.

    Raises
    ------
    ValueError : when no face is detected.
    """
    paint = paint or {"colors": np.tile(CLAY, (len(vertices), 1))}
    camera, found = facing(0.0, target), []
    for lamp in np.array(LAMPS):
        light = light_from_directions((lamp / np.linalg.norm(lamp))[None], np.full((1, 3), 0.9), 0.35)
        picture = render_linear(vertices, faces, camera, light=light, **paint).over((150, 150, 150))
        marks = landmarks_of_largest(picture)
        if marks is not None:
            found.append(marks[:, :2])
    if not found:
        raise ValueError("no face is seen on this mesh")
    pixel = np.median(found, axis=0)
    spots, away = places_at(pixel, vertices, faces, camera)
    missed = ~np.isfinite(away)
    spots = np.where(missed[:, None], 0.0, spots)
    hit, weights, _ = Closest(vertices, faces)(spots)
    turned = facing_cosine(spots, area_vectors(vertices, faces[hit]), camera) < 0  # through a gap into the skull
    hit = np.where(missed | turned, -1, hit)
    positions = (vertices[faces[hit]] * weights[:, :, None]).sum(1)
    return SurfaceLandmarks(hit, weights, np.where(hit[:, None] >= 0, positions, np.nan))
