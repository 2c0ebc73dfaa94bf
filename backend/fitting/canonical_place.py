"""Place the canonical face on the head: a similarity from landmarks, and samples of the surface to refine it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from backend.geometry.similarity import nearest_similarity
from backend.models.lap.canonical_face import CanonicalFace

PLACE_SIZE = 7
"""Rotation vector (3), translation (3) and log scale."""
_ROBUST_METRES = 0.004


@dataclass(frozen=True)
class CanonicalPlace:
    """Head frame to canonical frame: c = scale * rotation @ (p - origin) + pivot.

    Attributes
    ----------
    scale : canonical units per metre. rotation : (3, 3). origin : (3,) metres, head point that is mapped to the pivot.
    pivot : (3,) canonical point about which turns and scales act.
    """

    scale: float
    rotation: np.ndarray
    origin: np.ndarray
    pivot: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Convert head-frame points (..., 3) in metres to canonical points."""
        return self.scale * (points - self.origin) @ self.rotation.T + self.pivot

    def undo(self, points: np.ndarray) -> np.ndarray:
        """Convert canonical points (..., 3) to the head frame, metres."""
        return (points - self.pivot) @ self.rotation / self.scale + self.origin

    def moved(self, step: np.ndarray) -> CanonicalPlace:
        """The place after a step (7,): canonical points turn about the pivot, shift by metres times scale, and grow."""
        rotation = Rotation.from_rotvec(step[:3]).as_matrix() @ self.rotation
        scale = self.scale * float(np.exp(step[6]))
        return replace(self, scale=scale, rotation=rotation, origin=self.origin - self.rotation.T @ step[3:6])

    def derivatives(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of ``apply`` at canonical points (M, 3): by the head point (3, 3) and by the step (M, 3, 7)."""
        from_pivot = points - self.pivot
        x, y, z = from_pivot.T
        zero = np.zeros_like(x)
        by_step = np.empty((len(points), 3, PLACE_SIZE))
        # d(exp([w]) r)/dw has the columns e_k x r
        columns = [np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)]
        by_step[:, :, :3] = np.stack(columns, axis=-1)
        by_step[:, :, 3:6] = self.scale * np.eye(3)
        by_step[:, :, 6] = from_pivot
        return self.scale * self.rotation, by_step


def place_by_points(head: np.ndarray, canonical: np.ndarray, weights: np.ndarray, rounds: int = 6) -> CanonicalPlace:
    """Fit the similarity from head-frame points (M, 3) in metres to canonical points (M, 3), robustly.

    Umeyama (1991) with weights (M,), reweighted ``rounds`` times by Geman-McClure with a scale of 4 mm.

    Raises
    ------
    ValueError : fewer than four points have positive weight.
    """
    if (weights > 0).sum() < 4:
        raise ValueError("a similarity needs at least four points")
    robust = weights
    for _ in range(rounds):
        found = nearest_similarity(head, canonical, robust)
        origin = robust @ head / robust.sum()
        place = CanonicalPlace(found.scale, found.rotation, origin, found.apply(origin))
        off = np.linalg.norm(place.apply(head) - canonical, axis=-1) / place.scale / _ROBUST_METRES
        robust = weights / (1 + off**2) ** 2
    return place


@dataclass(frozen=True)
class SurfaceSamples:
    """The canonical surface sampled at the projections of points.

    Attributes
    ----------
    behind : (M,) signed distance of each point behind the surface along the camera's axis, canonical units.
    gradient : (M, 3) derivative of ``behind`` by the point. confidence : (M,) in [0, 1], 0 outside the map.
    """

    behind: np.ndarray
    gradient: np.ndarray
    confidence: np.ndarray


def sample_surface(face: CanonicalFace, points: np.ndarray) -> SurfaceSamples:
    """Compare canonical points (M, 3) with the canonical surface along the camera's axis."""
    size = len(face.depth)
    focal = face.camera.focal
    pixels = points[:, :2] / points[:, 2:] * focal + size / 2  # (M, 2)
    inside = ((pixels > 2) & (pixels < size - 2)).all(-1)
    places = pixels.T[::-1] - 0.5

    def sampled(values: np.ndarray) -> np.ndarray:
        return map_coordinates(values, places, order=1, mode="nearest")

    down, across = np.gradient(face.depth)
    slopes = np.stack([sampled(across), sampled(down)], axis=-1)  # (M, 2) per pixel
    gradient = np.empty((len(points), 3))
    gradient[:, :2] = -slopes * focal / points[:, 2:]
    gradient[:, 2] = 1.0 + (slopes * points[:, :2]).sum(-1) * focal / points[:, 2] ** 2
    return SurfaceSamples(points[:, 2] - sampled(face.depth), gradient, sampled(face.confidence) * inside)
