"""Masks of the face's parts from landmark polygons."""

from __future__ import annotations

import cv2
import numpy as np

from backend.photos.faces.frontal_texture import mesh_triangles
from backend.photos.faces.landmarks import MESH_COUNT, landmark_window, mean_landmarks
from backend.photos.regions.masks import grown
from backend.photos.regions.settings import REGIONS

# Indices into MediaPipe's 478 landmarks, in order around each part; "right" is the person's right.
_OVAL_LEFT = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
_OVAL_RIGHT = (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
FACE_OVAL = _OVAL_LEFT + _OVAL_RIGHT
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
CHEEK_RIGHT = (117, 118, 101, 36, 205, 187, 123)
FOREHEAD = (109, 10, 338, 337, 336, 9, 107, 108)
NOSE_BRIDGE = (6, 122, 196, 3, 51, 5, 281, 248, 419, 351)

NOSE = (168, 193, 245, 188, 174, 217, 126, 203, 98, 97, 2, 326, 327, 423, 355, 437, 399, 412, 465, 417)
_CHIN_LEFT = (2, 326, 327, 426, 436, 410, 287, 273, 432, 434, 364, 397, 365, 379, 378, 400, 377, 152)
_CHIN_RIGHT = (148, 176, 149, 150, 136, 172, 135, 214, 212, 43, 57, 186, 216, 206, 98, 97)
MOUTH_SURROUNDINGS = _CHIN_LEFT + _CHIN_RIGHT
UPPER_LIP_SKIN = (2, 326, 327, 391, 410, 287, 409, 270, 269, 267, 0, 37, 39, 40, 185, 57, 186, 165, 98, 97)


def mirrored(indices: tuple[int, ...]) -> tuple[int, ...]:
    """The corresponding landmarks on the person's other side."""
    return tuple(int(mean_landmarks().mirror[index]) for index in indices)


def polygon_mask(landmarks: np.ndarray, indices: tuple[int, ...], side: int) -> np.ndarray:
    """(side, side) bool mask of the polygon through the landmarks (478, 3) in crop pixels."""
    mask = np.zeros((side, side), np.uint8)
    fraction_bits = 4
    points = np.round((landmarks[list(indices), :2] - 0.5) * (1 << fraction_bits)).astype(np.int32)
    cv2.fillPoly(mask, [points], 1, shift=fraction_bits)
    return mask.astype(bool)


def eyes_mask(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool mask of both eyes, inside their outlines."""
    return polygon_mask(landmarks, EYE_RIGHT, side) | polygon_mask(landmarks, mirrored(EYE_RIGHT), side)


def near_eyes(landmarks: np.ndarray, side: int, reach: float = REGIONS.near_eyes) -> np.ndarray:
    """(side, side) bool mask of the eyes and ``reach`` face heights around them, where glasses are."""
    return grown(eyes_mask(landmarks, side), reach * landmark_window(landmarks, 1.0).side)


def skin_seeds(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool mask of places that nearly always show bare skin."""
    parts = (CHEEK_RIGHT, mirrored(CHEEK_RIGHT), NOSE_BRIDGE, FOREHEAD)
    return np.logical_or.reduce([polygon_mask(landmarks, part, side) for part in parts])


def mouth_parts(landmarks: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(side, side) bool masks: the lips, the skin above them (moustache), and the rest around the mouth."""
    lips = polygon_mask(landmarks, LIPS_OUTER, side)
    upper = polygon_mask(landmarks, UPPER_LIP_SKIN, side) & ~lips
    return lips, upper, polygon_mask(landmarks, MOUTH_SURROUNDINGS, side) & ~lips & ~upper


def along_face(point: np.ndarray, angle: float, size: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(side, side) each: offset of pixels to the right of and below ``point`` (2,), in units of ``size`` (px), along
    the axes of a face rotated by ``angle`` (radians) in the image."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    right, down = (columns - point[0]) / size, (rows - point[1]) / size
    cos, sin = np.cos(angle), np.sin(angle)
    return right * cos + down * sin, down * cos - right * sin


def face_normals(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 2) float32: x and y of the landmark mesh's unit normals (toward the camera), extrapolated beyond
    the face.

    Constant per triangle, then smoothed: accurate enough for shading.
    """
    small = max(16, side // REGIONS.normal_reduction)
    triangles = mesh_triangles()
    corners = landmarks[triangles] * (small / side)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals *= -np.sign(np.median(normals[:, 2]))  # consistent winding; the face looks towards -z
    image = np.zeros((small, small, 3), np.float32)
    places = np.round((corners[:, :, :2] - 0.5) * 16).astype(np.int32)
    for index in np.argsort(-corners[:, :, 2].mean(axis=1)):  # painter's algorithm: far triangles first
        colour = (float(normals[index, 0]), float(normals[index, 1]), 1.0)
        cv2.fillConvexPoly(image, places[index], colour, shift=4)
    blur = 0.02 * float(np.ptp(landmarks[:MESH_COUNT, 1])) * small / side + 0.5
    near, far = cv2.GaussianBlur(image, (0, 0), blur), cv2.GaussianBlur(image, (0, 0), 8 * blur)
    near = np.where(near[..., 2:] > 1e-3, near, far)
    spread = np.where(near[..., 2:] > 1e-6, near[..., :2] / np.maximum(near[..., 2:], 1e-6), 0.0)
    return cv2.resize(spread.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)


def above_brows(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool mask of hair or a hat: above the brows and outside the face's outline."""
    brows = landmarks[list(BROW_RIGHT + mirrored(BROW_RIGHT)), 1].min()
    rows = np.arange(side) + 0.5 < brows
    size = landmark_window(landmarks, 1.0).side
    return rows[:, None] & ~grown(polygon_mask(landmarks, FACE_OVAL, side), REGIONS.beyond_oval * size)
