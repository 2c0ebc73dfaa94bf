"""Unknowns of one photo (pose, camera, expression), and the derivatives of its projection.

Points on the template's surface, with the identity and expression bases restricted to them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from backend.geometry.template import LandmarkEmbedding, Template
from backend.rendering.camera import Camera

FACING_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Rotation of a head that looks straight into an OpenCV camera."""

POSE_SIZE = 9
"""Rotation vector (3), lateral position (2), log scale, log distance, principal point (2)."""


@dataclass(frozen=True)
class PhotoParameters:
    """One photo's unknowns.

    Attributes
    ----------
    rotation : (3, 3) camera_from_head rotation.
    pivot : (3,) centre of rotation in the head frame, the middle of the face. The frame's own origin lies far below;
        rotation about it would be correlated with position.
    lateral : (2,) x and y of the pivot in the camera frame, divided by its depth.
    log_scale : log of focal length in pixels over the pivot's depth in metres (pixels per metre there).
    log_distance : log of the pivot's depth in metres.
    principal_offset : (2,) principal point minus the picture's centre, divided by the focal length.
    centre : (2,) the picture's centre in pixels (of the whole file, expressed in crop pixels).
    size : (width, height) of the crop in pixels.
    expression : (52,) weights in [0, 1].
    nuisance : (M,) strength of each correlated landmark error in this photo, in standard deviations.
    """

    rotation: np.ndarray
    pivot: np.ndarray
    lateral: np.ndarray
    log_scale: float
    log_distance: float
    principal_offset: np.ndarray
    centre: np.ndarray
    size: tuple[int, int]
    expression: np.ndarray
    nuisance: np.ndarray

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return float(np.exp(self.log_scale + self.log_distance))

    @property
    def distance(self) -> float:
        """Depth of the pivot in metres."""
        return float(np.exp(self.log_distance))

    @property
    def pivot_in_camera(self) -> np.ndarray:
        """(3,) metres."""
        return self.distance * np.array([self.lateral[0], self.lateral[1], 1.0])

    @property
    def principal_point(self) -> np.ndarray:
        """(2,) pixels."""
        return self.centre + self.focal * self.principal_offset

    def camera(self) -> Camera:
        """The camera that these parameters describe."""
        intrinsics = np.eye(3)
        intrinsics[0, 0] = intrinsics[1, 1] = self.focal
        intrinsics[:2, 2] = self.principal_point
        camera_from_head = np.eye(4)
        camera_from_head[:3, :3] = self.rotation
        camera_from_head[:3, 3] = self.pivot_in_camera - self.rotation @ self.pivot
        return Camera(intrinsics, camera_from_head, self.size)

    def in_moved_frame(self, rotation: np.ndarray, translation: np.ndarray) -> PhotoParameters:
        """The parameters for points p of a new frame, where ``rotation @ p + translation`` is the point in this frame;
        rotation (3, 3), translation (3,) in metres. The focal length stays."""
        pivot = self.rotation @ (rotation @ self.pivot + translation - self.pivot) + self.pivot_in_camera
        log_distance = float(np.log(pivot[2]))
        return replace(
            self,
            rotation=self.rotation @ rotation,
            lateral=pivot[:2] / pivot[2],
            log_scale=self.log_scale + self.log_distance - log_distance,
            log_distance=log_distance,
        )

    def moved(
        self, pose_step: np.ndarray, expression_step: np.ndarray, nuisance_step: np.ndarray | float = 0.0
    ) -> PhotoParameters:
        """Apply a step (9,) of the pose, (52,) of the expression (clipped to [0, 1]) and (M,) of the nuisance."""
        rotation = Rotation.from_rotvec(pose_step[:3]).as_matrix() @ self.rotation
        return replace(
            self,
            rotation=rotation,
            lateral=self.lateral + pose_step[3:5],
            log_scale=self.log_scale + float(pose_step[5]),
            log_distance=self.log_distance + float(pose_step[6]),
            principal_offset=self.principal_offset + pose_step[7:9],
            expression=np.clip(self.expression + expression_step, 0.0, 1.0),
            nuisance=self.nuisance + nuisance_step,
        )


def project(parameters: PhotoParameters, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of head-frame points (M, 3), metres: (M, 2) pixels; (M, 2) normalised, and in the camera's axes (M, 3) around the
    pivot and (M,) depth."""
    rotated = (points - parameters.pivot) @ parameters.rotation.T  # (M, 3)
    in_camera = rotated + parameters.pivot_in_camera
    depth = np.maximum(in_camera[:, 2], 1e-3)
    normalised = in_camera[:, :2] / depth[:, None]
    return parameters.focal * normalised + parameters.principal_point, normalised, rotated, depth


def project_with_derivatives(
    parameters: PhotoParameters, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project head-frame points and differentiate.

    Parameters
    ----------
    points : (M, 3) metres, head frame.

    Returns
    -------
    pixels : (M, 2).
    by_point : (M, 2, 3) derivative by the head-frame point.
    by_pose : (M, 2, 9) derivative by the pose step of ``PhotoParameters.moved`` at 0.
    """
    pixels, normalised, rotated, depth = project(parameters, points)
    translation, focal = parameters.pivot_in_camera, parameters.focal
    by_camera = np.zeros((len(points), 2, 3))
    by_camera[:, 0, 0] = by_camera[:, 1, 1] = focal / depth
    by_camera[:, :, 2] = -focal * normalised / depth[:, None]

    by_point = by_camera @ parameters.rotation
    by_pose = np.empty((len(points), 2, POSE_SIZE))
    # d(exp([w]) r)/dw = -[r]_x, so its columns are e_k x r
    x, y, z = rotated.T
    zero = np.zeros_like(x)
    cross = np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], axis=-1)
    by_pose[:, :, :3] = by_camera @ cross
    by_pose[:, :, 3:5] = by_camera[:, :, :2] * parameters.distance
    by_focal = focal * (normalised + parameters.principal_offset)
    by_pose[:, :, 5] = by_focal
    by_pose[:, :, 6] = by_focal + by_camera @ translation
    by_pose[:, :, 7:9] = focal * np.eye(2)
    return pixels, by_point, by_pose


@dataclass(frozen=True)
class SurfacePoints:
    """M points that move with the face: ``base + identity @ alpha + expression @ weights``.

    Attributes
    ----------
    base : (M, 3); identity : (M, 3, K); expression : (M, 3, 52). Metres, head frame.
    """

    base: np.ndarray
    identity: np.ndarray
    expression: np.ndarray

    def __len__(self) -> int:
        return len(self.base)

    def positions(self, alpha: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(M, 3) positions for identity (K,) and expression (52,)."""
        rows = self.base.size
        moved = self.identity.reshape(rows, len(alpha)) @ alpha + self.expression.reshape(rows, len(weights)) @ weights
        return self.base + moved.reshape(-1, 3)

    def take(self, index: np.ndarray) -> SurfacePoints:
        """The points at ``index`` (integers or a mask)."""
        return SurfacePoints(self.base[index], self.identity[index], self.expression[index])

    @staticmethod
    def joined(first: SurfacePoints, second: SurfacePoints) -> SurfacePoints:
        """Both sets, one after the other."""
        return SurfacePoints(
            np.concatenate([first.base, second.base]),
            np.concatenate([first.identity, second.identity]),
            np.concatenate([first.expression, second.expression]),
        )


def points_at_vertices(template: Template, vertices: np.ndarray) -> SurfacePoints:
    """Surface points at template vertices (M,)."""
    return SurfacePoints(
        template.vertices[vertices].astype(np.float64),
        np.ascontiguousarray(template.identity_modes[:, vertices].transpose(1, 2, 0), dtype=np.float64),
        np.ascontiguousarray(template.expressions[:, vertices].transpose(1, 2, 0), dtype=np.float64),
    )


def points_at_landmarks(template: Template, embedding: LandmarkEmbedding) -> SurfacePoints:
    """Surface points at embedded landmarks; rows of invalid landmarks are meaningless."""
    corners = points_at_vertices(template, embedding.vertices.ravel())
    count = len(embedding.vertices)
    barycentrics = embedding.barycentrics.astype(np.float64)

    def mix(values: np.ndarray) -> np.ndarray:
        return np.einsum("lk,lk...->l...", barycentrics, values.reshape(count, 3, *values.shape[1:]))

    return SurfacePoints(mix(corners.base), mix(corners.identity), mix(corners.expression))
