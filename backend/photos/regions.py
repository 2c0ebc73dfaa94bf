"""Regions of a photo as masks: parts of the face from landmark polygons, the person, hands before a face."""

from dataclasses import dataclass

import cv2
import numpy as np

from backend.geometry.vectors import disc
from backend.photos import networks
from backend.photos.faces import MESH_COUNT, landmark_window, mean_landmarks, mesh_triangles


@dataclass(frozen=True)
class RegionsSettings:
    """One constant per field. The text below each gives its unit, plausible range and reason."""

    hand_score: float = 0.8
    """Detector confidence in [0, 1] of a hand: of 220 portraits three show hands, at 0.83 and more; a collar was
    detected as one at 0.72."""
    hand_outside: float = 0.4
    """Share in [0, 1] of a hand's landmarks that must lie outside the face; a hand entirely inside is a misread nose or
    beard."""
    finger_per_palm: float = 0.36
    """Width of a finger in palm widths, 0.2 to 0.5."""
    beyond_oval: float = 0.02
    """Face heights, 0 to 0.1: distance outside the landmarks' oval where hair begins."""
    near_eyes: float = 0.13
    """Face heights, 0.05 to 0.25: margin around the eyes that glasses cover."""
    normal_reduction: int = 4
    """Factor, 1 to 8, by which the map of normals is downsampled: normals are smooth."""


REGIONS = RegionsSettings()


def connected(mask: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """The connected parts of ``mask`` that touch ``anchor``."""
    count, index = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touched = np.zeros(count, dtype=bool)
    touched[index[mask & anchor]] = True
    touched[0] = False
    return touched[index]


def grown(mask: np.ndarray, pixels: float) -> np.ndarray:
    """``mask`` (H, W) bool dilated (``pixels`` > 0) or eroded (< 0) by a disc."""
    radius = round(abs(pixels))
    if radius == 0:
        return mask
    work = mask.astype(np.uint8)
    return (cv2.dilate(work, disc(radius)) if pixels > 0 else cv2.erode(work, disc(radius))).astype(bool)


# Indices into MediaPipe's 478 landmarks, in order around each part; "right" is the person's right.
_OVAL_LEFT = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377)
_OVAL_RIGHT = (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
FACE_OVAL = _OVAL_LEFT + _OVAL_RIGHT
LIPS_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
EYE_RIGHT = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
BROW_RIGHT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
CHEEK_RIGHT = (117, 118, 101, 36, 205, 187, 123)
FOREHEAD = (109, 10, 338, 337, 336, 9, 107, 108)
NOSE_BRIDGE = (6, 122, 196, 3, 51, 5, 281, 248, 419, 351)

_CHIN_LEFT = (2, 326, 327, 426, 436, 410, 287, 273, 432, 434, 364, 397, 365, 379, 378, 400, 377, 152)
_CHIN_RIGHT = (148, 176, 149, 150, 136, 172, 135, 214, 212, 43, 57, 186, 216, 206, 98, 97)
MOUTH_SURROUNDINGS = _CHIN_LEFT + _CHIN_RIGHT
BROW_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
BROW_LOWER = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
LID_UPPER = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LID_LOWER = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
"""The person's right first; brows from the temple to the nose, lids from the outer corner."""
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


def both_sides(landmarks: np.ndarray, indices: tuple[int, ...], side: int) -> np.ndarray:
    """(side, side) bool mask of a polygon, as ``polygon_mask``, and of its mirror image."""
    return polygon_mask(landmarks, indices, side) | polygon_mask(landmarks, mirrored(indices), side)


def near_eyes(landmarks: np.ndarray, side: int, reach: float = REGIONS.near_eyes) -> np.ndarray:
    """(side, side) bool mask of the eyes and ``reach`` face heights around them, where glasses are."""
    return grown(both_sides(landmarks, EYE_RIGHT, side), reach * landmark_window(landmarks, 1.0).side)


def skin_seeds(landmarks: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool mask of places that nearly always show bare skin."""
    middle = polygon_mask(landmarks, NOSE_BRIDGE, side) | polygon_mask(landmarks, FOREHEAD, side)
    return both_sides(landmarks, CHEEK_RIGHT, side) | middle


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
    pixels = np.round((corners[:, :, :2] - 0.5) * 16).astype(np.int32)
    for index in np.argsort(-corners[:, :, 2].mean(axis=1)):  # painter's algorithm: far triangles first
        colour = (float(normals[index, 0]), float(normals[index, 1]), 1.0)
        cv2.fillConvexPoly(image, pixels[index], colour, shift=4)
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


_FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_PALM = (0, 1, 2, 5, 9, 13, 17)


def hand_mask(pixels: np.ndarray, oval: np.ndarray) -> np.ndarray:
    """(S, S) bool: pixels of hands in (S, S, 3) uint8 sRGB; ``oval`` (S, S) bool is the face.

    The network's 21 hand landmarks locate them; the width of the fingers is derived from the palm's.
    """
    height, width = oval.shape
    mask = np.zeros((height, width), np.uint8)
    for score, points in networks.hands(pixels):
        inside = [bool(oval[min(height - 1, max(0, int(y))), min(width - 1, max(0, int(x)))]) for x, y in points]
        if score < REGIONS.hand_score or 1 - np.mean(inside) < REGIONS.hand_outside:
            continue
        palm = points[list(_PALM)].astype(np.int32)
        across = float(np.linalg.norm(points[5] - points[17]) + 0.5 * np.linalg.norm(points[0] - points[9]))
        thick = max(2, round(REGIONS.finger_per_palm * across))
        cv2.fillConvexPoly(mask, cv2.convexHull(palm), 1)
        cv2.polylines(mask, [cv2.convexHull(palm)], True, 1, thick)
        for finger in _FINGERS:
            cv2.polylines(mask, [points[list(finger)].astype(np.int32)], False, 1, thick)
    return mask.astype(bool)
