"""Adapt blinks to the target's own eyeballs, so that the lids close completely. Only numpy.

A wide eye needs more lid travel than the source's, otherwise a slit stays open. The area of the eyeball that is visible
from the front with the key at 1 gives, column by column, the missing travel of the upper lid around the eyeball.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .surface import Surface, unit

COLUMNS = 48
"""Resolution of the visibility grid in front of an eyeball, columns and rows."""
EXTENT = 1.2
"""Half the grid's width, in radii."""
STEP = 2 * EXTENT / COLUMNS
COVERING_DEPTH_SHARE = 0.01
"""Skin up to this share of the radius inside the eyeball still covers it, because meshes may intersect slightly."""
ROUNDS = 8
MOST_AT_ONCE = 1.5
"""Limit for the lengthening of the travel per round, as a factor."""
FARTHEST = 3.0
"""Limit for the total travel, as a multiple of the source's."""
NEAR, FAR = 1.7, 2.6
"""Radii from the centre: full effect on lids up to the first, none beyond the second."""
FILM = 1.07
"""Skin vertices closer to the eyeball than this multiple of its extent are a tear film or shade, and do not occlude."""
SKIN = 1.02
"""Minimum distance of lids from the centre, as a multiple of the eyeball's extent."""
OCCLUDING_CONFIDENCE = 0.02
"""Skin with a confidence above this occludes an eyeball."""
FARTHEST_POINT_COSINE = 0.99
"""Cosine of the angle within which the eyeball's farthest point is searched."""


@dataclass(frozen=True)
class Eyeball:
    """Centre (3,), radius, and points (N, 3) of everything that forms the eyeball, including the cornea."""

    middle: np.ndarray
    radius: float
    points: np.ndarray

    def reach(self, points: np.ndarray) -> np.ndarray:
        """(M,) extent of the eyeball from its centre in the direction of points (M, 3)."""
        own = self.points - self.middle
        radii = np.linalg.norm(own, axis=1)
        alike = unit(points - self.middle) @ unit(own).T
        alike[np.arange(len(points)), alike.argmax(axis=1)] = 1.0
        return np.where(alike > FARTHEST_POINT_COSINE, radii, 0.0).max(axis=1)


def shut_lids(motion: np.ndarray, skin: Surface, eyes: Sequence[Eyeball], sure: np.ndarray):
    """Lengthen one blink ``motion`` (V, 3) of the skin, in place, until its eye is closed; yields between slices.

    The eye is the one closest to the motion. sure : (V,) 0-1 confidence of a vertex's correspondence on the source's
    skin; lashes welded to the lids have none and do not occlude.
    """
    weight = np.linalg.norm(motion, axis=1)
    if not eyes or weight.sum() <= 0:
        return
    centre = weight @ skin.vertices / weight.sum()
    eye = min(eyes, key=lambda one: float(np.linalg.norm(one.middle - centre)))
    if np.linalg.norm(eye.middle - centre) > 3 * eye.radius:
        return
    near = np.linalg.norm(skin.vertices - eye.middle, axis=1) < FAR * eye.radius
    lids, index = skin.part(near)
    axes = _axes(motion.astype(float), weight, centre - eye.middle)
    local = (lids.vertices - eye.middle) @ axes.T / eye.radius
    way = motion[index].astype(float) @ axes.T / eye.radius
    film = np.linalg.norm(lids.vertices - eye.middle, axis=1) < FILM * eye.reach(lids.vertices)
    hides = ~film & (sure[index] > OCCLUDING_CONFIDENCE)
    triangles = lids.triangles[hides[lids.triangles].any(axis=1)]
    yield
    front = _front(eye, axes)
    open_top, seen_at_rest = yield from _upper_edge(local, triangles, front)
    if not seen_at_rest.any():
        return
    longest = way.copy()
    for _ in range(ROUNDS):
        top, seen = yield from _upper_edge(local + longest, triangles, front)
        if seen.sum() <= 0.01 * seen_at_rest.sum():
            break
        gap, went = seen.sum(axis=0) * STEP, np.maximum(open_top - top, 0.05)
        factor = _smoothed(np.where(seen.any(axis=0), 1.0 + (gap + 0.5 * STEP) / went, 1.0).clip(1.0, MOST_AT_ONCE))
        share = np.interp(local[:, 0], _lines(), factor, left=1.0, right=1.0) - 1.0
        around = np.clip((FAR - np.linalg.norm(local, axis=1)) / (FAR - NEAR), 0.0, 1.0)
        down = np.clip(-longest[:, 2] / 0.02, 0.0, 1.0)  # only downward motion
        longest = longest * (1.0 + share * around * down)[:, None]
        longest = _limited(longest, FARTHEST * way)
        reach = eye.reach((local + longest) @ axes * eye.radius + eye.middle) / eye.radius
        longest = _around(local, longest, reach)
        yield
    motion[index] = longest @ axes * eye.radius


def _axes(motion: np.ndarray, weight: np.ndarray, lid: np.ndarray) -> np.ndarray:
    """(3, 3) rows right, forward and up of an eye: the lid moves down, and passes the front halfway.

    motion : (V, 3).
    weight : (V,) its length.
    lid : (3,) from the eye's centre to the centre of the motion.
    """
    down = weight @ motion / weight.sum()
    forward = unit(lid + 0.5 * down)
    up = unit((down @ forward) * forward - down)
    return np.stack([np.cross(forward, up), forward, up])


def _lines() -> np.ndarray:
    """Centres of the columns, and of the rows, in radii."""
    return (np.arange(COLUMNS) + 0.5) * STEP - EXTENT


def _front(eye: Eyeball, axes: np.ndarray) -> np.ndarray:
    """(rows, columns) forward extent of the eyeball, in radii; infinite beside it."""
    x, z = np.meshgrid(_lines(), _lines())
    forward = np.sqrt(np.maximum(1.0 - x * x - z * z, 0.02))
    for _ in range(3):
        towards = np.stack([x, forward, z], -1).reshape(-1, 3) @ axes + eye.middle
        reach = eye.reach(towards).reshape(x.shape) / eye.radius
        forward = np.sqrt(np.maximum(reach * reach - x * x - z * z, 0.02))
    return np.where(x * x + z * z < 0.96 * reach * reach, forward, np.inf)


def _upper_edge(points: np.ndarray, triangles: np.ndarray, front: np.ndarray):
    """Visible area of an eyeball from the front, with skin ``points`` (N, 3): right, forward, up in radii.

    Returns (columns,) upper edge of the visible area, 1 if nothing is visible, and (rows, columns) bool.
    """
    lines = _lines()
    depth, z = front - COVERING_DEPTH_SHARE, lines[:, None]
    covered = np.isinf(front)
    corners = points[triangles]
    facing = (corners[:, :, 1].max(axis=1) > 0) & (np.abs(corners[:, :, 0]).min(axis=1) < EXTENT)
    corners = corners[facing & (np.abs(corners[:, :, 2]).min(axis=1) < EXTENT)]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 2] - a[:, 2]) - (b[:, 2] - a[:, 2]) * (c[:, 0] - a[:, 0])
    fine = np.abs(area) > 1e-12
    a, b, c, area = a[fine], b[fine], c[fine], area[fine]
    for row in range(COLUMNS):
        near = (np.minimum(np.minimum(a[:, 2], b[:, 2]), c[:, 2]) <= lines[row]) & (
            np.maximum(np.maximum(a[:, 2], b[:, 2]), c[:, 2]) >= lines[row]
        )
        p, q, r, size = a[near], b[near], c[near], area[near]
        dx, dz = lines[:, None] - p[:, 0], lines[row] - p[:, 2]
        v = (dx * (r[:, 2] - p[:, 2]) - dz * (r[:, 0] - p[:, 0])) / size
        w = ((q[:, 0] - p[:, 0]) * dz - (q[:, 2] - p[:, 2]) * dx) / size
        forward = p[:, 1] + v * (q[:, 1] - p[:, 1]) + w * (r[:, 1] - p[:, 1])
        hit = (v >= -1e-6) & (w >= -1e-6) & (v + w <= 1 + 1e-6) & (forward > depth[row][:, None])
        covered[row] |= hit.any(axis=1)
        if row % 8 == 7:
            yield
    seen = ~covered
    top = np.where(seen, z, -np.inf).max(axis=0)
    return np.where(seen.any(axis=0), top, 1.0), seen


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Maximum over adjacent columns, then a moving average, so that the lid beside a slit moves along."""
    padded = np.pad(values, 1, mode="edge")
    widest = np.max([padded[shift : shift + len(values)] for shift in range(3)], axis=0)
    padded = np.pad(widest, 4, mode="edge")
    return np.mean([padded[shift : shift + len(values)] for shift in range(9)], axis=0)


def _limited(motion: np.ndarray, most: np.ndarray) -> np.ndarray:
    """``motion`` (N, 3), limited to the length of ``most`` (N, 3)."""
    length, limit = np.linalg.norm(motion, axis=1), np.linalg.norm(most, axis=1)
    return motion * np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None]


def _around(points: np.ndarray, motion: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Motions (N, 3) of points outside the unit sphere that keep their distance from it, as a rotation about its centre
    would.

    reach : (N,) extent of the eyeball at their end positions.
    """
    rest, ends = np.linalg.norm(points, axis=1), points + motion
    far = np.linalg.norm(ends, axis=1)
    least = np.maximum(np.minimum(rest, 1.2), SKIN * reach)
    moves = np.linalg.norm(motion, axis=1) > 0.02
    push = np.where(moves & (rest > 0.97) & (ends[:, 1] > 0) & (far < least), least / np.maximum(far, 1e-9), 1.0)
    return ends * push[:, None] - points
