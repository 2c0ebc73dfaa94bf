"""MediaPipe landmarks on a bare mesh: render it as clay from the front, detect, cast rays back to the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backend.geometry.normals import vertex_normals
from trainer.data.raytrace.bvh import build_bvh, closest_hits
from trainer.data.raytrace.film import Film, develop
from trainer.data.raytrace.render import look_at, trace_view
from trainer.data.raytrace.scene import AreaLight, Environment, Lighting, Surface

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""MediaPipe's outline of the face. It slides over the surface, so its landmarks mark no fixed place."""

CLAY = np.array([0.50, 0.36, 0.28])
SIZE = 512
DISTANCE = 2.0
VIEW_METRES = 0.30  # width that the picture shows


@dataclass(frozen=True)
class SurfaceLandmarks:
    """478 points on a mesh.

    Attributes
    ----------
    faces : (478,) int32, -1 where the ray missed. barycentrics : (478, 3). positions : (478, 3), NaN where missed.
    """

    faces: np.ndarray
    barycentrics: np.ndarray
    positions: np.ndarray

    @property
    def steady(self) -> np.ndarray:
        """(478,) bool, landmarks that were found, lie on the skin (no irises) and mark a fixed place (no outline)."""
        ids = np.arange(len(self.faces))
        return self.found & (ids < 468) & ~np.isin(ids, OVAL)

    @property
    def found(self) -> np.ndarray:
        """(478,) bool."""
        return self.faces >= 0

    def on(self, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """(478, 3) positions on other vertices of the same triangles, NaN where missed."""
        corners = vertices[faces[np.maximum(self.faces, 0)]]
        positions = (corners * self.barycentrics[:, :, None]).sum(1)
        return np.where(self.found[:, None], positions, np.nan)


@lru_cache(maxsize=1)
def _face_mesh():
    import mediapipe

    return mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.3
    )


def detect_landmarks(picture: np.ndarray) -> np.ndarray | None:
    """(478, 3) MediaPipe landmarks in pixels of an (H, W, 3) uint8 picture; None when no face is detected."""
    found = _face_mesh().process(np.ascontiguousarray(picture)).multi_face_landmarks
    if not found:
        return None
    height, width = picture.shape[:2]
    return np.array([[p.x * width, p.y * height, p.z * width] for p in found[0].landmark])


def find_surface_landmarks(
    vertices: np.ndarray, faces: np.ndarray, target: np.ndarray, albedo: np.ndarray | None = None
) -> SurfaceLandmarks:
    """Find the landmarks of a face that looks along +z.

    Parameters
    ----------
    vertices : (V, 3) metres; faces : (F, 3). target : (3,) approximate centre of the face.
    albedo : (V, 3) linear colours that help the detector, such as dark irises; clay when None.

    Raises
    ------
    ValueError : when MediaPipe detects no face.
    """
    count = len(vertices)
    surface = Surface(
        vertices,
        faces,
        vertex_normals(vertices, faces),
        np.tile(CLAY, (count, 1)) if albedo is None else albedo,
        np.full(count, 0.028),
        np.full(count, 0.45),
        np.ones(count),
    )
    bvh = build_bvh(vertices, faces)
    camera = look_at(0, 0, 0, DISTANCE, SIZE * DISTANCE / VIEW_METRES, (SIZE, SIZE), target)
    soft = Environment(np.full(3, 0.25), np.full(3, 0.55), np.zeros((0, 3)), np.zeros(0), np.zeros((0, 3)))
    pixels = []
    for side in (-1.0, 0.0, 1.0):
        lamp = AreaLight(np.array([side * 1.0, 0.7, 1.6]), 0.3, np.full(3, 0.6))
        view = trace_view(surface, camera, Lighting((lamp,), soft), samples=3, ambient_rays=4, bvh=bvh)
        picture = develop(view.over(np.full(3, 0.35)), Film(noise=0.0), np.random.default_rng(0))
        found = detect_landmarks(picture)
        if found is not None:
            pixels.append(found[:, :2])
    if not pixels:
        raise ValueError("MediaPipe sees no face on this mesh")
    pixel = np.median(pixels, axis=0)  # (478, 2)
    in_camera = np.concatenate([pixel, np.ones((len(pixel), 1))], axis=1) @ np.linalg.inv(camera.intrinsics).T
    directions = in_camera @ camera.camera_from_head[:3, :3]
    hit, _, barycentrics = closest_hits(bvh, np.tile(camera.centre(), (len(pixel), 1)), directions)
    corners = vertices[faces[np.maximum(hit, 0)]]
    facing = (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * directions).sum(1) < 0
    hit = np.where(facing, hit, -1)  # missed: the ray went through a gap to the inside of the skull
    positions = np.where(hit[:, None] >= 0, (corners * barycentrics[:, :, None]).sum(1), np.nan)
    return SurfaceLandmarks(hit, barycentrics, positions)
