"""Fit the hair's volume by region: push guides outwards or inwards until the hair's outline matches the photos'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from backend.hair.hair_views import HairView, silhouettes

PLACES = 80
"""Control points in the hair with a push each, interpolated in between. With 30 the overlap with the photos is 0.005
lower."""
REACH = 0.05
"""Metres: standard deviation of a control point's influence. Volume changes over a hand's breadth."""
USUAL_PUSH = 0.036
"""Metres: prior standard deviation of a push. Half or twice the value changes the overlap by 0.002."""
OUTLINE_WORTH = 30.0
"""Effective number of independent measurements, with a deviation of one pixel each, in a photo's outline of some 150
pixels."""
OTHER_HAIR = 3.0
"""Scale of the robust loss (Geman and McClure), in pixels of ``hair_views.VIEW_SIDE``: an outline further away belongs
to other hair."""
ROUNDS = 3
"""Gauss-Newton steps. The third moves short hair by 0.2 mm and long hair by 1 mm on average, and so do later ones; a
view's pixel is 4 mm."""
BEND = 0.02
"""Metres from the root over which a strand bends outwards."""
_NEAR = 2.0
"""Most pixels between an outline and the strand that draws it, because small gaps between strands are closed."""


def to_outlines(
    lines: np.ndarray, radius: np.ndarray, ends: np.ndarray, views: Sequence[HairView], middle: np.ndarray
) -> np.ndarray:
    """Move guides (G, Q, 3), metres, roots first, away from the head's ``middle`` (3,) or towards it, until the
    outlines of their locks against the background lie on the outlines of the photos' hair.

    Gauss-Newton over the pushes at ``PLACES`` control points, with robust signed distances from the drawn outlines'
    pixels to the photos' outlines, and the pushes' prior. Outlines in front of head and chest, next to occluders and at
    the photo's border are not used.

    radius : (G, Q) metres from a guide to its lock's outermost hairs, away from the skin. ends : (G,) how many points
    of each guide are hair; the others move along.
    """
    shown = np.arange(lines.shape[1]) < ends[:, None]
    if shown.sum() < PLACES:
        return lines
    along = np.linalg.norm(np.diff(lines, axis=1), axis=-1).cumsum(1)
    bend = np.clip(np.pad(along, ((0, 0), (1, 0))) / BEND, 0, 1)[..., None]
    way = bend * _outward(lines, middle)
    places = _far_apart(lines[shown], PLACES)
    share = np.exp(-cdist(lines.reshape(-1, 3), places, "sqeuclidean") / (2 * REACH**2))
    share /= np.maximum(share.sum(1, keepdims=True), 1e-9)  # (G Q, PLACES)
    push, moved = np.zeros(PLACES), lines
    for _ in range(ROUNDS):
        normal = np.eye(PLACES) / USUAL_PUSH**2
        right = -push / USUAL_PUSH**2
        for view in views:
            outline = _outline(np.where(shown[..., None], moved, np.nan), way, view)
            if not len(outline.point):
                continue
            distance = outline.distance + radius.reshape(-1)[outline.point] * view.pixels_per_metre
            squared = (distance / OTHER_HAIR) ** 2
            weight = view.trust * OUTLINE_WORTH / len(outline.point) / (1 + squared) ** 2
            rows = share[outline.point] * outline.slope[:, None]
            normal += rows.T @ (rows * weight[:, None])
            right -= rows.T @ (distance * weight)
        push = push + np.linalg.solve(normal, right)
        moved = lines + (share @ push).reshape(*lines.shape[:2], 1) * way
    return moved


def _outward(points: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Unit vectors at points (..., 3) away from the head's middle; horizontal below the middle."""
    way = points - middle
    way[..., 1] = np.maximum(way[..., 1], 0)
    return way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6)


def _far_apart(points: np.ndarray, count: int) -> np.ndarray:
    """Choose (count, 3) of points (N, 3) by farthest-point sampling."""
    chosen = [points[0]]
    distance = ((points - points[0]) ** 2).sum(1)
    while len(chosen) < count:
        chosen.append(points[distance.argmax()])
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(1))
    return np.stack(chosen)


@dataclass(frozen=True)
class _Outline:
    """Pixels of a drawn outline: (M,) each. ``point`` : index of the guides' point there. ``distance`` : signed
    distance in pixels, positive outside the photo's hair. ``slope`` : its derivative, pixels per metre that the point
    moves along ``way``."""

    point: np.ndarray
    distance: np.ndarray
    slope: np.ndarray


def _outline(lines: np.ndarray, way: np.ndarray, view: HairView) -> _Outline:
    """The outline of guides (G, Q, 3) against the background; ``way`` (G, Q, 3) : directions in which they move."""
    nothing = _Outline(np.zeros(0, int), np.zeros(0), np.zeros(0))
    drawn = silhouettes(lines.reshape(1, -1, 3), view)[0]
    background = ((drawn == 0) & ~np.isfinite(view.depth)).astype(np.uint8)  # neither hair, head nor chest
    photo = (view.hair > 0.5).astype(np.uint8)
    sure = cv2.erode((view.known > 0.9).astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    row, column = np.nonzero((drawn > 0) & (cv2.dilate(background, np.ones((3, 3), np.uint8)) > 0) & sure)
    if not len(row) or not photo.any() or photo.all():
        return nothing
    outside, inside = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (1 - photo, photo))
    signed = outside - inside + photo  # 0 on the outermost pixels of the photo's hair
    pixel = view.camera.project(lines.reshape(-1, 3))[:, :2]
    there = np.flatnonzero(np.isfinite(pixel).all(1))
    off, nearest = cKDTree(pixel[there]).query(np.column_stack([column, row]) + 0.5)
    near = off < _NEAR
    point, row, column = there[nearest[near]], row[near], column[near]
    step = 1e-3
    moved = view.camera.project(lines.reshape(-1, 3)[point] + step * way.reshape(-1, 3)[point])[:, :2]
    down, across = np.gradient(cv2.GaussianBlur(signed, (0, 0), 1.0))
    slope = ((moved - pixel[point]) / step * np.column_stack([across[row, column], down[row, column]])).sum(1)
    return _Outline(point, signed[row, column], slope)
