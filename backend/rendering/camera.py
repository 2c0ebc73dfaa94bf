"""Perspective cameras in OpenCV's convention (x right, y down, z forward; pixel centres at i + 0.5), in numpy and in
torch, with LAP's narrow camera of six numbers. Projections for the rasterizers are (N, V, 3): x and y in pixels, z
camera depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

MIN_DEPTH = 1e-8
"""Faces with a vertex at or below this camera depth are dropped."""


@dataclass(frozen=True)
class Camera:
    """A solved camera.

    Attributes
    ----------
    intrinsics : (3, 3) float64 K in pixels.
    camera_from_head : (4, 4) float64 rigid transform, row-major, from the head frame (metres, x to the person's
        left, y up, z out of the face) to the camera frame.
    size : (width, height) of the picture in pixels.
    """

    intrinsics: np.ndarray
    camera_from_head: np.ndarray
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project head-frame points (..., 3) in metres to (..., 3): x, y in pixels and camera depth in metres."""
        in_camera = points @ self.camera_from_head[:3, :3].T + self.camera_from_head[:3, 3]
        in_image = in_camera @ self.intrinsics.T
        return np.concatenate([in_image[..., :2] / in_image[..., 2:3], in_camera[..., 2:3]], axis=-1)

    def scaled(self, factor: float) -> Camera:
        """The same camera for the picture resized by ``factor`` (sizes are rounded)."""
        scale = np.diag([factor, factor, 1.0])
        width, height = self.size
        return Camera(scale @ self.intrinsics, self.camera_from_head, (round(width * factor), round(height * factor)))

    def centre(self) -> np.ndarray:
        """(3,) the camera's position in the head frame, metres."""
        return -self.camera_from_head[:3, :3].T @ self.camera_from_head[:3, 3]


def look_at(
    yaw_degrees: float,
    pitch_degrees: float,
    roll_degrees: float,
    distance: float,
    focal_px: float,
    size: tuple[int, int],
    target: np.ndarray,
) -> Camera:
    """Build a camera that looks at ``target`` (3,) in the head frame from ``distance`` metres.

    Positive yaw shows the head turned to its own left (the camera is on the person's right), positive pitch shows it
    looking up (the camera is low), positive roll rotates the picture clockwise. The target is in the picture's centre.
    """
    yaw, pitch, roll = np.radians([yaw_degrees, pitch_degrees, roll_degrees])
    turn_yaw = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_pitch = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    turn_roll = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn_roll @ np.diag([1.0, -1.0, -1.0]) @ turn_pitch @ turn_yaw
    camera_from_head = np.eye(4)
    camera_from_head[:3, :3] = rotation
    camera_from_head[:3, 3] = np.array([0, 0, distance]) - rotation @ target
    intrinsics = np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1.0]])
    return Camera(intrinsics, camera_from_head, size)


LAP_FOV_DEGREES = 10.0
LAP_PIVOT = (0.0, 0.0, 1.0)
LAP_ROTATION_DEGREES = 60.0
LAP_TRANSLATION = (0.1, 0.1, 0.0)


@dataclass(frozen=True)
class PerspectiveCameras:
    """A batch of OpenCV cameras.

    Attributes
    ----------
    intrinsics : (N, 3, 3) K in pixels. camera_from_head : (N, 3 or 4, 4) rigid transforms, metres, of which the first
        three rows count.
    """

    intrinsics: torch.Tensor
    camera_from_head: torch.Tensor

    @property
    def rotation(self) -> torch.Tensor:
        """(N, 3, 3) from the head's axes to the cameras'."""
        return self.camera_from_head[:, :3, :3]

    @property
    def translation(self) -> torch.Tensor:
        """(N, 3) the head's origin in the camera frames."""
        return self.camera_from_head[:, :3, 3]

    def centres(self) -> torch.Tensor:
        """(N, 3) positions in the head frame."""
        return -(self.rotation.transpose(1, 2) @ self.translation[..., None])[..., 0]

    def in_camera(self, points: torch.Tensor) -> torch.Tensor:
        """Head-frame points (N or 1, V, 3) in the camera frames (N, V, 3)."""
        return points @ self.rotation.transpose(1, 2) + self.translation[:, None]

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Head-frame points (N or 1, V, 3) in metres to pixels and depth (N, V, 3), differentiable."""
        return project(self.in_camera(points), self.intrinsics)


def project(points_in_camera: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    """Camera-frame points (N, V, 3) to pixels and depth (N, V, 3) by intrinsics (N or 1, 3, 3)."""
    in_image = points_in_camera @ intrinsics.transpose(1, 2)
    depth = points_in_camera[..., 2:]
    return torch.cat([in_image[..., :2] / depth, depth], -1)


def rotation_from_axis_angle(vector: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) of axis * angle in radians (..., 3), differentiable everywhere, zero included."""
    squared = (vector * vector).sum(-1)[..., None, None]
    small = squared < 1e-8
    safe = torch.where(small, 1.0, squared)
    angle = safe.sqrt()
    sine = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)
    cross = cross_matrix(vector)
    return torch.eye(3, dtype=vector.dtype, device=vector.device) + sine * cross + cosine * (cross @ cross)


def cross_matrix(vector: torch.Tensor) -> torch.Tensor:
    """Matrices (..., 3, 3) of the cross product with vectors (..., 3) on the left."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def rotation_from_euler(angles: torch.Tensor) -> torch.Tensor:
    """Rotation matrices (..., 3, 3) Rz Ry Rx of angles (..., 3) about x, y, z in radians."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        cz * cy,
        cz * sy * sx - sz * cx,
        cz * sy * cx + sz * sx,
        sz * cy,
        sz * sy * sx + cz * cx,
        sz * sy * cx - cz * sx,
        -sy,
        cy * sx,
        cy * cx,
    ]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


@dataclass(frozen=True)
class CanonicalCamera:
    """The camera of Unsup3D and LAP: square pixels, narrow field of view, looking along +z at depth 1.

    Its focal length is (W - 1) / 2 / tan(fov / 2) pixels and its principal point the picture's middle.

    Attributes
    ----------
    size : (height, width) in pixels. fov_degrees : over the distance of the outermost pixel centres in a row.
    """

    size: tuple[int, int]
    fov_degrees: float = LAP_FOV_DEGREES

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return (self.size[1] - 1) / 2 / math.tan(math.radians(self.fov_degrees) / 2)

    @property
    def intrinsics(self) -> np.ndarray:
        """(3, 3) float64 K for pixel centres at i + 0.5."""
        height, width = self.size
        return np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]])

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Camera-frame points (..., 3) to pixels and depth (..., 3)."""
        height, width = self.size
        middle = points.new_tensor([width / 2, height / 2])
        depth = points[..., 2:]
        return torch.cat([points[..., :2] / depth * self.focal + middle, depth], -1)

    def unproject(self, pixels: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        """Camera-frame points (..., 3) at pixel positions (..., 2) and depths (...)."""
        height, width = self.size
        rays = (pixels - pixels.new_tensor([width / 2, height / 2])) / self.focal
        return torch.cat([rays, torch.ones_like(rays[..., :1])], -1) * depth[..., None]


@dataclass(frozen=True)
class View:
    """A rigid motion of the canonical face in front of a fixed camera: R (p - pivot) + pivot + t.

    Attributes
    ----------
    rotation : (N, 3, 3). translation : (N, 3), in units of the canonical depth. pivot : (3,) centre of rotation.
    """

    rotation: torch.Tensor
    translation: torch.Tensor
    pivot: tuple[float, float, float] = LAP_PIVOT

    def apply(self, points: torch.Tensor) -> torch.Tensor:
        """Move canonical points (N, ..., 3) into the view."""
        pivot = points.new_tensor(self.pivot)
        shape = points.shape
        flat = points.reshape(shape[0], -1, 3) - pivot
        return (flat @ self.rotation.transpose(1, 2) + (pivot + self.translation[:, None])).view(-1, *shape[1:])

    def undo(self, points: torch.Tensor) -> torch.Tensor:
        """Move points (N, ..., 3) in the view back to the canonical frame."""
        pivot = points.new_tensor(self.pivot)
        shape = points.shape
        flat = points.reshape(shape[0], -1, 3) - (pivot + self.translation[:, None])
        return (flat @ self.rotation + pivot).view(-1, *shape[1:])


def view_from_network(
    outputs: torch.Tensor,
    *,
    rotation_degrees: float = LAP_ROTATION_DEGREES,
    translation: tuple[float, float, float] = LAP_TRANSLATION,
) -> View:
    """The view given by six tanh outputs (N, 6) in [-1, 1]: angles about x, y, z, then shifts along x, y, z.

    The rotation is Rz Ry Rx about (0, 0, 1) by up to +-60 degrees; shifts are up to +-0.1 in x and y and none in z.
    """
    angles = outputs[:, :3] * math.radians(rotation_degrees)
    return View(rotation_from_euler(angles), outputs[:, 3:] * outputs.new_tensor(translation))
