"""Detect the faces in a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.photos.faces import mediapipe_models
from backend.photos.faces.sampling import Window, fit_inside
from backend.photos.faces.settings import FACES


@dataclass(frozen=True)
class DetectedFace:
    """A face box in image pixels.

    Attributes
    ----------
    centre : (x, y) of the box, brows to chin.
    side : length of the box's side.
    angle : radians, direction of the line from the image-left to the image-right eye of an upright face; positive when
        the head is turned clockwise in the image.
    score : 0 to 1, the detector's confidence.
    """

    centre: tuple[float, float]
    side: float
    angle: float
    score: float


def detect_faces(pixels: np.ndarray) -> tuple[DetectedFace, ...]:
    """Detect faces in (H, W, 3) uint8 pixels, largest first; includes small, turned and sideways faces.

    Searches the whole image, without and with a margin (for faces that fill it). If no large face is found, also
    searches overlapping tiles (for small faces). If nothing is found, repeats with the image turned by a quarter, a
    half and three quarters (for photos without EXIF orientation).
    """
    small, factor = fit_inside(pixels, FACES.search_side)
    faces: list[DetectedFace] = []
    for turn in (0.0, np.pi / 2, -np.pi / 2, np.pi):
        found = [face for window in _whole_views(small.shape, turn) for face in _detect_in(small, window)]
        large = FACES.large_face * min(small.shape[:2])
        if not any(face.side > large and face.score > FACES.sure_score for face in found):
            found += [face for window in _tiles(small.shape, turn) for face in _detect_in(small, window)]
        faces = _merge(found)
        if faces:
            break
    scaled = [
        DetectedFace((f.centre[0] / factor, f.centre[1] / factor), f.side / factor, f.angle, f.score) for f in faces
    ]
    return tuple(sorted(scaled, key=lambda face: -face.side))


def faces_in_view(pixels: np.ndarray) -> tuple[DetectedFace, ...]:
    """Detect upright faces in a square image (S, S, 3) uint8 in one pass: 6 ms, misses small ones."""
    side = pixels.shape[0]
    return tuple(_merge(_detect_in(pixels, Window((side / 2, side / 2), float(side)))))


def _whole_views(shape: tuple[int, ...], turn: float) -> list[Window]:
    height, width = shape[:2]
    return [Window((width / 2, height / 2), max(height, width) * margin, turn) for margin in (1.0, 1.5)]


def _tiles(shape: tuple[int, ...], turn: float) -> list[Window]:
    height, width = shape[:2]
    longest, shortest = max(height, width), min(height, width)
    tiles = []
    for divide in (1, 2, 3):
        side = shortest / divide
        if side < FACES.min_tile or (divide == 1 and longest < 1.2 * shortest):
            continue
        tiles += [Window((x, y), side, turn) for y in _tile_centres(height, side) for x in _tile_centres(width, side)]
    return tiles


def _tile_centres(length: float, side: float) -> np.ndarray:
    """Centres of at most eight tiles of ``side`` that cover ``length`` and overlap by a third or more."""
    count = min(8, max(1, int(np.ceil((length - side) / (side * 0.6))) + 1))
    return np.linspace(side / 2, length - side / 2, count) if count > 1 else np.array([length / 2])


def _detect_in(pixels: np.ndarray, window: Window) -> list[DetectedFace]:
    view = window.cut(pixels, FACES.view_side)
    if int(view.max()) - int(view.min()) < FACES.least_contrast:
        return []
    found = []
    for full_range in (True, False):
        result = mediapipe_models.face_detector(full_range).process(view)
        for detection in result.detections or ():
            score = float(detection.score[0])
            if score < FACES.min_score:
                continue
            found.append(_in_picture(detection.location_data, score, window))
    return found


def _in_picture(location: object, score: float, window: Window) -> DetectedFace:
    box = location.relative_bounding_box
    eyes = np.array([[point.x, point.y] for point in location.relative_keypoints[:2]])
    corner = np.array([[box.xmin + box.width / 2, box.ymin + box.height / 2]])
    points = window.to_picture(np.concatenate([corner, eyes]) * FACES.view_side, FACES.view_side)
    line = points[2] - points[1]
    side = (box.width + box.height) / 2 * window.side
    return DetectedFace(tuple(points[0]), side, float(np.arctan2(line[1], line[0])), score)


def _merge(faces: list[DetectedFace]) -> list[DetectedFace]:
    """Non-maximum suppression: keep the most confident of overlapping boxes."""
    kept: list[DetectedFace] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face, other) < FACES.same_face_overlap for other in kept):
            kept.append(face)
    return kept


def overlap(a: DetectedFace, b: DetectedFace) -> float:
    """Shared area of two boxes over the smaller one's area."""
    shared = 1.0
    for axis in range(2):
        low = max(a.centre[axis] - a.side / 2, b.centre[axis] - b.side / 2)
        high = min(a.centre[axis] + a.side / 2, b.centre[axis] + b.side / 2)
        shared *= max(0.0, high - low)
    return shared / min(a.side, b.side) ** 2
