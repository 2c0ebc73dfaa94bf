"""Crop the square around a head that all later stages use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.photos.faces.landmarks import MESH_COUNT, head_pose
from backend.photos.faces.sampling import Window
from backend.photos.faces.settings import FACES

MAX_CROP_SIDE = 2048


@dataclass(frozen=True)
class HeadCrop:
    """A square crop: ``crop_px = scale * (picture_px - offset)``; ``pixels`` (S, S, 3) uint8, edge-padded.

    ``covered`` (left, top, right, bottom) in crop pixels is the part inside the photo; the rest is padding.
    """

    pixels: np.ndarray
    scale: float
    offset: tuple[float, float]
    covered: tuple[float, float, float, float]

    def to_crop(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2 or 3) from image pixels to crop pixels; z is scaled alike."""
        moved = np.array(points, dtype=np.float64)
        moved[..., :2] -= self.offset
        return moved * self.scale

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """The inverse of ``to_crop``."""
        moved = np.array(points, dtype=np.float64) / self.scale
        moved[..., :2] += self.offset
        return moved


def crop_head(pixels: np.ndarray, landmarks: np.ndarray, max_side: int = MAX_CROP_SIDE) -> HeadCrop:
    """Crop the head from (H, W, 3) pixels by its landmarks (478, 3): 2.4 times their extent, never enlarged."""
    low, high = landmarks[:MESH_COUNT, :2].min(axis=0), landmarks[:MESH_COUNT, :2].max(axis=0)
    extent = float((high - low).max())
    pose = head_pose(landmarks)
    roll, turned = np.radians(pose.roll), np.sin(np.radians(pose.yaw))
    up, right = np.array([np.sin(roll), -np.cos(roll)]), np.array([np.cos(roll), np.sin(roll)])
    centre = (low + high) / 2 + extent * (FACES.crop_raised * up - FACES.crop_behind * turned * right)
    side = max(8, round(extent * FACES.crop_per_face))
    corner = np.round(centre - side / 2).astype(int)
    cut = _cut_padded(pixels, corner, side)
    if side > max_side:
        cut = cv2.resize(cut, (max_side, max_side), interpolation=cv2.INTER_AREA)
    scale = min(side, max_side) / side
    edges = np.clip(scale * (np.array([0, 0, pixels.shape[1], pixels.shape[0]]) - np.tile(corner, 2)), 0, side * scale)
    return HeadCrop(cut, scale, (float(corner[0]), float(corner[1])), tuple(float(edge) for edge in edges))


def face_square(landmarks: np.ndarray) -> Window:
    """Upright square input window of LAP's nets from landmarks (478, 2 or 3): brows to chin, with a small margin.

    It follows the crop of the authors' demo (half-side 1.1 (h + w) / 4 of a detector's box, moved down by 0.15 of the
    half-side), with the landmarks' extent for the box. Their box ends in the middle of the forehead, ours at the hair,
    so ours needs no shift.
    """
    low, high = landmarks[:MESH_COUNT, :2].min(axis=0), landmarks[:MESH_COUNT, :2].max(axis=0)
    middle = (low + high) / 2
    return Window((float(middle[0]), float(middle[1])), float(1.1 * (high - low).mean()))


def upright_square(landmarks: np.ndarray) -> Window:
    """``face_square`` aligned to the head: rotated by the head's roll in the image.

    landmarks : (478, 3) in image pixels.
    """
    angle = np.radians(head_pose(landmarks).roll)
    cos, sin = np.cos(angle), np.sin(angle)
    axes = np.array([[cos, sin], [-sin, cos]])  # rows: the window's x and y in the picture
    square = face_square(landmarks[:, :2] @ axes.T)
    middle = np.asarray(square.centre) @ axes
    return Window((float(middle[0]), float(middle[1])), square.side, float(angle))


def _cut_padded(pixels: np.ndarray, corner: np.ndarray, side: int) -> np.ndarray:
    """(side, side, C) copy starting at ``corner`` (x, y); pixels outside the image repeat its edge."""
    height, width = pixels.shape[:2]
    left, top = np.clip(corner, 0, [width - 1, height - 1])
    right, bottom = np.clip(corner + side, [left + 1, top + 1], [width, height])
    before_x, before_y = np.clip([left - corner[0], top - corner[1]], 0, side - 1)
    part = pixels[top:bottom, left:right][: side - before_y, : side - before_x]
    after_y, after_x = side - before_y - part.shape[0], side - before_x - part.shape[1]
    return cv2.copyMakeBorder(part, before_y, after_y, before_x, after_x, cv2.BORDER_REPLICATE)
