"""The hairline: project it into photos, and apply points of it that the user has set to the line and the labels.

Its places have the scalp's chart: angle about the crown, and angle from it, in degrees (``groom.scalp``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.stages import FittedFace, FittedPhoto
from backend.geometry.template import HAIR_DEGREES
from backend.hair.groom.description import load_grooms
from backend.hair.groom.scalp import chart, mean_scalp, on_sphere, person_scalp
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.rasterize import facing_cosine

_USUAL = "taper"
"""A groom with the usual hairline."""
_PLACE_DEVIATION, _LINE_DEVIATION = 1.7, 8.6
"""Degrees from the crown (3 and 15 mm): accuracy with which a person can place the hairline, which is never sharper,
and by which people's hairlines differ from the usual one."""
_ALIKE_DEGREES = 20.0
"""Degrees about the crown over which a hairline differs from the usual one alike."""
_REACH_ABOUT, _REACH = 20.0, 17.0
"""Within this distance of a point that the user has set, about the crown and from it (3 cm), labels follow the line:
half way to the next point, and about the width of a thinned edge."""
_WIDEST = 75.0
"""Degrees about the crown up to which a line may be set: beyond, it turns down before the ears."""
_LEAST_COSINE = 0.1
"""Places with a smaller cosine to the camera lie behind the head's edge."""
_FINE_SIDE = 512
"""Longer side, in pixels, of the crop in which labels are changed."""


def line_numbers(line: np.ndarray) -> dict[str, float]:
    """Degrees from the crown, by name, of a hairline (28, 2) at ``HAIR_DEGREES`` about it."""
    return {f"hairline {about:g}": float(_at(line, np.array(about))) for about in HAIR_DEGREES}


def _at(line: np.ndarray, about: np.ndarray) -> np.ndarray:
    """Degrees from the crown of a hairline (28, 2) at angles about it, up to ``_WIDEST``."""
    front = line[np.abs(line[:, 0]) < _WIDEST + 10]
    order = np.argsort(front[:, 0])
    return np.interp(about, *front[order].T)


def line_points(vertices: np.ndarray, numbers: Mapping[str, float]) -> np.ndarray:
    """(5, 3) points of the hairline of ``line_numbers`` at ``HAIR_DEGREES`` on a head (V, 3), metres, head frame; the
    usual line where a number is missing."""
    usual = line_numbers(load_grooms()[_USUAL].hairline)
    line = [(about, numbers.get(name, other)) for about, (name, other) in zip(HAIR_DEGREES, usual.items(), strict=True)]
    ways = on_sphere(np.stack(chart(mean_scalp().places), 1))
    return person_scalp(vertices)[0][cKDTree(ways).query(on_sphere(np.array(line)))[1]]


def apply_hairline_points(
    fitted: FittedFace, faces: Sequence[PhotoFace]
) -> tuple[np.ndarray | None, tuple[PhotoFace, ...]]:
    """Apply the hairline points that the user has set: return degrees of the line from the crown, (360,) at each degree
    about it from -180 on, NaN where it is free, and the faces with labels around the points changed to hair above the
    line and skin below. All photos are changed, because the line belongs to the person. Without points the line is None
    and nothing changes."""
    by_name = {face.name: face for face in faces}
    pairs = [(photo, by_name[photo.name]) for photo in fitted.photos if photo.name in by_name]
    places = [_user_points(photo, face.hair_line) for photo, face in pairs if face.hair_line is not None]
    if not sum(map(len, places)):
        return None, tuple(faces)
    points = np.concatenate(places)
    line = _bent_line(points)
    told = {face.name: _relabelled(photo, face, points[:, 0], line) for photo, face in pairs}
    return line, tuple(told.get(face.name, face) for face in faces)


def _bent_line(points: np.ndarray) -> np.ndarray:
    """(360,) the line through points (N, 2): the mean of a Gaussian process about the usual line."""
    usual, every = load_grooms()[_USUAL].hairline, np.arange(-180.0, 180.0)

    def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return _LINE_DEVIATION**2 * np.exp(-0.5 * ((one[:, None] - other) / _ALIKE_DEGREES) ** 2)

    about, off = points[:, 0], points[:, 1] - _at(usual, points[:, 0])
    told = np.linalg.solve(alike(about, about) + _PLACE_DEVIATION**2 * np.eye(len(points)), off)
    near = (np.abs(every[:, None] - about) < _REACH_ABOUT).any(1) & (np.abs(every) < _WIDEST)
    return np.where(near, _at(usual, every) + alike(every, about) @ told, np.nan)


def _scalp_in_photo(photo: FittedPhoto, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The scalp's front in a photo: (N, 2) places in the chart, and (N, 2) pixels; NaN where it faces away."""
    about, away = chart(mean_scalp().places)
    front = np.abs(about) < _WIDEST + _REACH_ABOUT
    places, normals = (each[front] for each in person_scalp(photo.vertices))
    pixels = camera.project(places)[:, :2]
    pixels[facing_cosine(places, normals, camera) < _LEAST_COSINE] = np.nan
    return np.stack([about[front], away[front]], 1), pixels


def _user_points(photo: FittedPhoto, line: np.ndarray) -> np.ndarray:
    """(N, 2) places in the chart of the points ``line``, crop pixels, that the user has set; those beside the head are
    left out."""
    grid, pixels = _scalp_in_photo(photo, photo.camera)
    seen = np.isfinite(pixels[:, 0])
    if not seen.any():
        return np.zeros((0, 2))
    away, near = cKDTree(pixels[seen]).query(line)
    step = 0.03 * photo.camera.intrinsics[0, 0] / np.linalg.norm(photo.camera.centre())
    return grid[seen][near[away < step]]


def _relabelled(photo: FittedPhoto, face: PhotoFace, about: np.ndarray, line: np.ndarray) -> PhotoFace:
    """The face relabelled along ``line`` (360,) near the angles (N,) at which the user has set it."""
    height, width = face.labels.shape
    camera = photo.camera.scaled(min(1.0, _FINE_SIDE / max(height, width)))
    grid, pixels = _scalp_in_photo(photo, camera)
    beside = (np.abs(grid[:, :1] - about) / _REACH_ABOUT).min(1) < 1.0
    below = grid[:, 1] - line[np.round(grid[:, 0]).astype(int) + 180]
    told = beside & (np.abs(below) < _REACH) & np.isfinite(pixels[:, 0])
    above_here, below_here = (_painted(pixels[told & side], camera) for side in (below < 0, below >= 0))
    above_here, below_here = (cv2.resize(each, (width, height)) > 0.5 for each in (above_here, below_here))
    labels = face.labels.copy()
    labels[above_here & ~below_here & np.isin(labels, (FaceClass.SKIN, FaceClass.BACKGROUND))] = FaceClass.HAIR
    labels[below_here & (labels == FaceClass.HAIR)] = FaceClass.SKIN
    return replace(face, labels=labels)


def _painted(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) float32 mask of places of the scalp, with the gaps between them closed."""
    picture = np.zeros((camera.size[1], camera.size[0]), np.float32)
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 0) & (column < camera.size[0]) & (row >= 0) & (row < camera.size[1])
    picture[row[inside], column[inside]] = 1.0
    return cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
