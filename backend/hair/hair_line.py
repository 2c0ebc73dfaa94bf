"""The hairline: project it into photos, and apply points of it that the user has set to style and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import HAIR_DEGREES, Template
from backend.hair.hull import head_hull, hull_surface
from backend.hair.style_model import NUMBERS, hairline
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.visibility import facing_cosine

LINE_NUMBERS = ("forehead", "temples")
"""Numbers of the style that move the line at ``HAIR_DEGREES``."""
_PLACE_DEVIATION = 0.003
"""Metres: accuracy with which a person can place the hairline, which is never sharper."""
_STEP = 0.001
"""Metres: step of a number for the finite difference of its effect on the line."""
_REACH_DEGREES, _REACH_METRES = 20.0, 0.03
"""Within this distance of a point that the user has set, round the head and across the line, labels follow the line:
half way to the next point, and about the width of a thinned edge."""
_WIDEST_DEGREES, _LOWEST = 100.0, 0.30
"""Limits of the hull's part on which a line may be set: azimuth from the front, and s in metres from the crown."""
_LEAST_COSINE = 0.1
"""Hull points with a smaller cosine to the camera lie behind the head's edge."""
_FINE_SIDE = 512
"""Longer side, in pixels, of the crop in which labels are changed."""


def line_places(template: Template, vertices: np.ndarray, numbers: Mapping[str, float]) -> np.ndarray:
    """(5, 3) points of the hairline of a style's numbers at ``HAIR_DEGREES`` on a head (V, 3), metres, head frame."""
    azimuth = np.radians(HAIR_DEGREES)
    s = _line_at(template, numbers, azimuth)
    return _on_hull(template, vertices, azimuth, s)[0]


def apply_hairline_points(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace]
) -> tuple[dict[str, float], tuple[PhotoFace, ...]]:
    """Apply the hairline points that the user has set: return the style's numbers, and the faces with labels around the
    points changed to hair above the line and skin below. All photos are changed, because the line belongs to the
    person. Without points nothing changes."""
    by_name = {face.name: face for face in faces}
    pairs = [(photo, by_name[photo.name]) for photo in fitted.photos if photo.name in by_name]
    places = [_set_places(template, photo, face.hair_line) for photo, face in pairs if face.hair_line is not None]
    if not sum(map(len, places)):
        return {}, tuple(faces)
    points = np.concatenate(places)
    numbers = _known_numbers(template, points)
    told = {face.name: _relabelled(template, photo, face, points, numbers) for photo, face in pairs}
    return numbers, tuple(told.get(face.name, face) for face in faces)


def _known_numbers(template: Template, points: np.ndarray) -> dict[str, float]:
    """Fit the style's ``LINE_NUMBERS`` to points (N, 2), azimuth and s.

    Linear least squares, with the template's line as prior mean and half of each number's range as standard deviation.
    """
    azimuth, s = points.T
    usual = _line_at(template, {}, azimuth)
    effect = np.stack([_line_at(template, {name: _STEP}, azimuth) - usual for name in LINE_NUMBERS], 1) / _STEP
    ranges = {number.name: (number.low, number.high) for number in NUMBERS}
    half = np.array([0.5 * (ranges[name][1] - ranges[name][0]) for name in LINE_NUMBERS])
    rows = np.concatenate([effect / _PLACE_DEVIATION, np.diag(1.0 / half)])
    right = np.concatenate([(s - usual) / _PLACE_DEVIATION, np.zeros(len(half))])
    found = np.linalg.lstsq(rows, right, rcond=None)[0]
    return {name: float(np.clip(value, *ranges[name])) for name, value in zip(LINE_NUMBERS, found, strict=True)}


def _line_at(template: Template, numbers: Mapping[str, float], azimuth: np.ndarray) -> np.ndarray:
    """(N,) s of the line at azimuths (N,); missing numbers are 0, as in the template's line."""
    hull = head_hull(template)
    value = {
        name: torch.tensor([[float(numbers.get(name, 0.0))]])
        for name in (*LINE_NUMBERS, "sideburns", "nape")
    }  # fmt: skip
    return hull.line(azimuth, hairline(value, hull)[0].double().numpy())


def _on_hull(
    template: Template, vertices: np.ndarray, azimuth: np.ndarray, s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and unit normals (..., 3) at azimuths and s (...) on the hull of a head (V, 3)."""
    head = torch.from_numpy(np.asarray(vertices[: template.head.vertex_stop], np.float32))[None]
    surface = hull_surface(head_hull(template), head, torch.zeros(1))
    places, normals = surface.sample(torch.from_numpy(azimuth).float()[None], torch.from_numpy(s).float()[None])
    return places[0].double().numpy(), normals[0].double().numpy()


def _hull_in_photo(template: Template, photo: FittedPhoto, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The hull's front as a grid in a photo: (N, 2) azimuth and s, and (N, 2) pixels; NaN where it faces away."""
    azimuth, s = np.meshgrid(
        np.radians(np.arange(-_WIDEST_DEGREES, _WIDEST_DEGREES + 0.5)), np.arange(0.0, _LOWEST, 0.001), indexing="ij"
    )
    places, normals = _on_hull(template, photo.vertices, azimuth.ravel(), s.ravel())
    pixels = camera.project(places)[:, :2]
    pixels[facing_cosine(places, normals, camera) < _LEAST_COSINE] = np.nan
    return np.stack([azimuth.ravel(), s.ravel()], 1), pixels


def _set_places(template: Template, photo: FittedPhoto, line: np.ndarray) -> np.ndarray:
    """(N, 2) azimuth and s of the points ``line``, crop pixels, that the user has set; those beside the head are left
    out."""
    grid, pixels = _hull_in_photo(template, photo, photo.camera)
    seen = np.isfinite(pixels[:, 0])
    grid, pixels = grid[seen], pixels[seen]
    if not len(grid):
        return np.zeros((0, 2))
    squared = ((line[:, None] - pixels) ** 2).sum(-1)
    near = squared.argmin(1)
    step = _REACH_METRES * photo.camera.intrinsics[0, 0] / np.linalg.norm(photo.camera.centre())
    return grid[near[squared.min(1) < step**2]]


def _relabelled(
    template: Template, photo: FittedPhoto, face: PhotoFace, points: np.ndarray, numbers: Mapping[str, float]
) -> PhotoFace:
    """The face relabelled along the line of ``numbers``, which is bent near the points (N, 2), azimuth and s, to pass
    through them."""
    height, width = face.labels.shape
    camera = photo.camera.scaled(min(1.0, _FINE_SIDE / max(height, width)))
    grid, pixels = _hull_in_photo(template, photo, camera)
    off = points[:, 1] - _line_at(template, numbers, points[:, 0])
    apart = np.abs(grid[:, :1] - points[:, 0]) / np.radians(_REACH_DEGREES)  # (N, P)
    alike = np.exp(-0.5 * (2.0 * apart) ** 2)
    line = _line_at(template, numbers, grid[:, 0]) + (alike @ off) / np.maximum(alike.sum(1), 1.0)
    below = grid[:, 1] - line
    told = (apart.min(1) < 1.0) & (np.abs(below) < _REACH_METRES) & np.isfinite(pixels[:, 0])
    above_here, below_here = (_painted(pixels[told & side], camera) for side in (below < 0, below >= 0))
    above_here, below_here = (cv2.resize(each, (width, height)) > 0.5 for each in (above_here, below_here))
    labels = face.labels.copy()
    labels[above_here & ~below_here & np.isin(labels, (FaceClass.SKIN, FaceClass.BACKGROUND))] = FaceClass.HAIR
    labels[below_here & (labels == FaceClass.HAIR)] = FaceClass.SKIN
    return replace(face, labels=labels)


def _painted(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) float32 mask of grid points (N, 2) of the hull, with the gaps between them closed."""
    picture = np.zeros((camera.size[1], camera.size[0]), np.float32)
    column, row = np.floor(pixels).astype(int).T
    inside = (column >= 0) & (column < camera.size[0]) & (row >= 0) & (row < camera.size[1])
    picture[row[inside], column[inside]] = 1.0
    return cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
