"""Camera positions, and the crop around the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CROP_PER_FACE = 2.4
RAISED = 0.04
BEHIND = 0.25
FACE_CROP = 1.1
"""Same as ``backend.photos.faces.crop``'s crops of heads (``crop_head``) and faces (``face_square``); tests check
it."""
WIDE_CROP_FACTOR = 1.8
"""Crop side relative to the face's larger extent, with margin for rotating and moving a smaller window."""


@dataclass(frozen=True)
class ViewParameters:
    """One camera.

    Attributes
    ----------
    yaw, pitch, roll : radians; to the person's left, up, clockwise in the picture.
    distance : metres from the camera to between the eyes. aside : (2,) tangents of the head's angles off the optical
    axis,
        right and down.
    zoom : factor on the crop's side. shift : (2,) of the crop, in its sides.
    edges : (4,) extent of the photo beyond the head's crop to the left, top, right, bottom, in the crop's sides;
        negative where the photo ends inside it.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    aside: np.ndarray
    zoom: float
    shift: np.ndarray
    edges: np.ndarray


def draw_view(generator: np.random.Generator) -> ViewParameters:
    """Draw a typical photograph's view: mostly frontal, at arm's length or across a room."""
    kind = generator.random()
    if kind < 0.55:
        yaw, pitch = generator.normal(0, 9), generator.normal(-1, 6)
    elif kind < 0.88:
        yaw, pitch = generator.normal(0, 26), generator.normal(-2, 9)
    else:
        yaw, pitch = generator.uniform(-80, 80), generator.normal(-2, 14)
    roll = generator.normal(0, 6) if generator.random() < 0.8 else generator.normal(0, 16)
    selfie = generator.random() < 0.3
    low, high = (0.3, 0.65) if selfie else (0.8, 4.0)
    distance = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    yaw, pitch, roll = np.radians([np.clip(yaw, -88, 88), np.clip(pitch, -40, 40), np.clip(roll, -50, 50)])
    # extent of the photo: often larger than the crop, but portraits are often cut close around the head
    ends = (0.6, 0.6, 0.6, 0.35) if generator.random() < 0.35 else (0.04, 0.12, 0.04, 0.10)
    edges = np.where(generator.random(4) < ends, -generator.uniform(0.01, 0.2, 4), 1.0)
    return ViewParameters(
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        distance=distance,
        aside=(generator.normal(0, 0.10, 2) * (1.0 if selfie else 0.6)).astype(np.float32),
        zoom=float(np.exp(generator.normal(0, 0.05))),
        shift=(generator.normal(0, 0.02, 2)).astype(np.float32),
        edges=edges.astype(np.float32),
    )


def turn(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation about an axis, right-handed."""
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def head_rotation(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) rotation of the head in its own frame: to the person's left, up."""
    return turn(1, yaw) @ turn(0, -pitch)


def camera_rotation(view: ViewParameters) -> np.ndarray:
    """(3, 3) from the head's axes to the camera's."""
    facing = np.diag([1.0, -1.0, -1.0])
    return turn(2, view.roll) @ facing @ head_rotation(view.yaw, view.pitch)


@dataclass(frozen=True)
class Cameras:
    """Cameras of a batch, of crops of S x S pixels.

    Attributes
    ----------
    intrinsics : (N, 3, 3) K in pixels. camera_from_head : (N, 4, 4), metres.
    """

    intrinsics: Tensor
    camera_from_head: Tensor

    def places(self) -> Tensor:
        """(N, 3) camera positions in the head frame."""
        rotation, translation = self.camera_from_head[:, :3, :3], self.camera_from_head[:, :3, 3:]
        return -(rotation.transpose(1, 2) @ translation)[..., 0]

    def in_camera(self, points: Tensor) -> Tensor:
        """Transform head-frame points to the camera's frame (N, P, 3)."""
        return points @ self.camera_from_head[:, :3, :3].transpose(1, 2) + self.camera_from_head[:, None, :3, 3]

    def project(self, points: Tensor) -> Tensor:
        """Project head-frame points (N, P, 3) to (N, P, 3): x and y in pixels, depth in metres."""
        seen = self.in_camera(points)
        depth = seen[..., 2:]
        flat = seen[..., :2] / depth
        focal = torch.stack([self.intrinsics[:, 0, 0], self.intrinsics[:, 1, 1]], -1)[:, None]
        return torch.cat([flat * focal + self.intrinsics[:, None, :2, 2], depth], -1)


def extrinsics(views: list[ViewParameters], eyes: np.ndarray) -> np.ndarray:
    """(N, 4, 4) camera_from_head that place the midpoint between the eyes (N, 3) according to each view."""
    matrices = np.tile(np.eye(4), (len(views), 1, 1))
    for matrix, view, middle in zip(matrices, views, eyes, strict=True):
        matrix[:3, :3] = camera_rotation(view)
        place = view.distance * np.array([view.aside[0], view.aside[1], 1.0])
        matrix[:3, 3] = place - matrix[:3, :3] @ middle
    return matrices


def frame(views: list[ViewParameters], poses: Tensor, landmarks: Tensor, size: int, framing: str) -> Cameras:
    """Cameras whose pictures are the crops around landmarks (N, 468, 3) in the head frame.

    poses : (N, 4, 4). framing : ``head`` (``photos.faces.crop.crop_head``), ``face`` (``face_square``) or ``roomy``.
    """
    n, device = len(views), landmarks.device
    unit = Cameras(torch.eye(3, device=device).repeat(n, 1, 1), poses)
    points = unit.project(landmarks)[..., :2]  # (N, 468, 2) at focal length 1
    low, high = points.amin(1), points.amax(1)
    numbers = torch.tensor([[v.yaw, v.roll, v.zoom, *v.shift] for v in views], device=device, dtype=torch.float32)
    yaw, roll, zoom, shift = numbers[:, 0], numbers[:, 1], numbers[:, 2], numbers[:, 3:]
    middle, extent = (low + high) / 2, (high - low).amax(1)
    if framing == "head":
        up = torch.stack([torch.sin(roll), -torch.cos(roll)], -1)
        right = torch.stack([torch.cos(roll), torch.sin(roll)], -1)
        middle = middle + extent[:, None] * (RAISED * up - BEHIND * torch.sin(yaw)[:, None] * right)
        side = CROP_PER_FACE * extent
    elif framing == "roomy":
        side = WIDE_CROP_FACTOR * extent
    else:
        side = FACE_CROP * (high - low).mean(1)
    side = side * zoom
    corner = middle - side[:, None] * (0.5 + shift)
    focal = size / side
    intrinsics = torch.zeros(n, 3, 3, device=device)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = -corner * focal[:, None]
    intrinsics[:, 2, 2] = 1
    return Cameras(intrinsics, poses)


@dataclass(frozen=True)
class PhotoBorder:
    """Ends of a batch's photos: first and last columns and rows, all (N,) int64, in crops of ``size`` pixels."""

    size: int
    left: Tensor
    top: Tensor
    right: Tensor
    bottom: Tensor

    def inside(self) -> Tensor:
        """(N, S, S) bool mask of the photo."""
        steps = torch.arange(self.size, device=self.left.device)
        columns = (steps >= self.left[:, None]) & (steps <= self.right[:, None])
        rows = (steps >= self.top[:, None]) & (steps <= self.bottom[:, None])
        return rows[:, :, None] & columns[:, None]

    def repeat(self, images: Tensor) -> Tensor:
        """Repeat the photo's last row or column beyond its end, in pictures (N, C, S, S) or labels (N, S, S)."""
        steps = torch.arange(self.size, device=images.device)
        columns = torch.minimum(torch.maximum(steps, self.left[:, None]), self.right[:, None])  # (N, S)
        rows = torch.minimum(torch.maximum(steps, self.top[:, None]), self.bottom[:, None])
        flat = (rows[:, :, None] * self.size + columns[:, None]).flatten(1)  # (N, S * S)
        if images.dim() == 3:
            return images.flatten(1).gather(1, flat).view_as(images)
        return images.flatten(2).gather(2, flat[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def photo_border(views: list[ViewParameters], size: int, framing: str, device: torch.device) -> PhotoBorder:
    """Find the photos' ends in crops of ``size`` pixels; ``framing`` as for ``frame``."""
    edges = np.stack([view.edges for view in views]).astype(np.float64) * size
    if framing != "head":  # those crops lie well inside the head's
        share = {"face": FACE_CROP, "roomy": WIDE_CROP_FACTOR}[framing] / CROP_PER_FACE
        edges = (edges + (1 - share) / 2 * size) / share
    into = np.clip(np.round(-edges), 0, size // 2 - 1).astype(np.int64)  # (N, 4) pixels that are missing
    left, top, right, bottom = torch.from_numpy(into).to(device).unbind(1)
    return PhotoBorder(size, left, top, size - 1 - right, size - 1 - bottom)
