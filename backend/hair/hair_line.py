"""The hairline: project it into photos, and apply points of it that the user has set to the line and the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.geometry.template import HAIR_DEGREES, Template
from backend.hair.hair_surface import ROWS, STEP, HairSurface
from backend.hair.hull import azimuths, head_hull, hull_surface
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.camera import Camera
from backend.rendering.rasterize import facing_cosine

_PLACE_DEVIATION, _LINE_DEVIATION = 0.003, 0.015
"""Metres: accuracy with which a person can place the hairline, which is never sharper, and by which people's hairlines
differ from the usual one."""
_ALIKE_DEGREES = 20.0
"""Azimuth over which a hairline differs from the usual one alike."""
_HIGHEST = 0.02
"""Metres from the crown: a line further up is that of a bald head."""
_REACH_DEGREES, _REACH_METRES = 20.0, 0.03
"""Within this distance of a point that the user has set, round the head and across the line, labels follow the line:
half way to the next point, and about the width of a thinned edge."""
_WIDEST_DEGREES, _LOWEST = 100.0, 0.30
"""Limits of the hull's part on which a line may be set: azimuth from the front, and s in metres from the crown."""
_LEAST_COSINE = 0.1
"""Hull points with a smaller cosine to the camera lie behind the head's edge."""
_FINE_SIDE = 512
"""Longer side, in pixels, of the crop in which labels are changed."""


def line_numbers(surface: HairSurface) -> dict[str, float]:
    """s in metres, by name, of the line beyond which no hair grows, at ``HAIR_DEGREES``."""
    numbers = {}
    for degrees in HAIR_DEGREES:
        column = np.full(ROWS, np.radians(degrees))
        grows = surface.grid.at(surface.roots, column, np.arange(ROWS) * STEP) > 0.5
        numbers[f"hairline {degrees:g}"] = max(_HIGHEST, STEP * float(np.flatnonzero(grows).max(initial=0)))
    return numbers


def line_points(template: Template, vertices: np.ndarray, numbers: Mapping[str, float]) -> np.ndarray:
    """(5, 3) points of the hairline of ``line_numbers`` at ``HAIR_DEGREES`` on a head (V, 3), metres, head frame; the
    usual line where a number is missing."""
    hull, azimuth = head_hull(template), np.radians(HAIR_DEGREES)
    usual = hull.line(azimuth, hull.hairline)
    s = [numbers.get(f"hairline {degrees:g}", other) for degrees, other in zip(HAIR_DEGREES, usual, strict=True)]
    return _on_hull(template, vertices, azimuth, np.array(s))[0]


def apply_hairline_points(
    template: Template, fitted: FittedFace, faces: Sequence[PhotoFace]
) -> tuple[np.ndarray | None, tuple[PhotoFace, ...]]:
    """Apply the hairline points that the user has set: return s of the line on ``hull.azimuths()``, and the faces with
    labels around the points changed to hair above the line and skin below. All photos are changed, because the line
    belongs to the person. Without points the line is None and nothing changes."""
    by_name = {face.name: face for face in faces}
    pairs = [(photo, by_name[photo.name]) for photo in fitted.photos if photo.name in by_name]
    places = [_user_points(template, photo, face.hair_line) for photo, face in pairs if face.hair_line is not None]
    if not sum(map(len, places)):
        return None, tuple(faces)
    points = np.concatenate(places)
    line = _bent_line(template, points)
    told = {face.name: _relabelled(template, photo, face, points[:, 0], line) for photo, face in pairs}
    return line, tuple(told.get(face.name, face) for face in faces)


def _bent_line(template: Template, points: np.ndarray) -> np.ndarray:
    """(A,) s of the line on ``hull.azimuths()`` through points (N, 2), azimuth and s: the mean of a Gaussian process
    about the usual line."""
    hull = head_hull(template)

    def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        turn = (one[:, None] - other + np.pi) % (2 * np.pi) - np.pi
        return _LINE_DEVIATION**2 * np.exp(-0.5 * (turn / np.radians(_ALIKE_DEGREES)) ** 2)

    azimuth, off = points[:, 0], points[:, 1] - hull.line(points[:, 0], hull.hairline)
    told = np.linalg.solve(alike(azimuth, azimuth) + _PLACE_DEVIATION**2 * np.eye(len(points)), off)
    return np.maximum(hull.hairline + alike(azimuths(), azimuth) @ told, _HIGHEST)


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


def _user_points(template: Template, photo: FittedPhoto, line: np.ndarray) -> np.ndarray:
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
    template: Template, photo: FittedPhoto, face: PhotoFace, azimuth: np.ndarray, line: np.ndarray
) -> PhotoFace:
    """The face relabelled along ``line`` (A,) near the azimuths (N,) at which the user has set it."""
    height, width = face.labels.shape
    camera = photo.camera.scaled(min(1.0, _FINE_SIDE / max(height, width)))
    grid, pixels = _hull_in_photo(template, photo, camera)
    apart = np.abs(grid[:, :1] - azimuth) / np.radians(_REACH_DEGREES)  # (N, P)
    line = head_hull(template).line(grid[:, 0], line)
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
