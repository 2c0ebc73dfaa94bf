"""The direction field: which way hair runs everywhere on its body.

The photos show lines without a sign. They are lifted to the hair's surface, spread smoothly as tensors, and signed by
the way hair is combed from its roots: backwards from a bare forehead, forwards over a covered one, down from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.hair.hair_surface import HairSurface
from backend.hair.hair_views import HairView, looked_up
from backend.hair.styles import Style
from backend.rendering.visibility import depth_map

_PROBE = 0.004
"""Metres along the surface over which its projection into a photo is differentiated."""
_UNKNOWN = 0.01
"""Weight of the usual combing relative to a clear line that a photo sees squarely."""
_SPREAD = 0.010
"""Metres over which lines are smooth where photos show them."""
_FRONT = np.radians(75.0)
"""Azimuth up to which hair on top belongs to the front."""
_SWEPT = 0.7
"""How far hair at the sides runs backwards, relative to downwards, above a bare forehead."""
_LONG = 0.04
"""Metres below the usual hairline: hair that covers places so low at the sides is long."""
_COMBED, _COMBED_SPREAD = (0.45, 0.75), 0.03
"""Clearness of the photos' lines in hair that runs every way (curls, crew cuts) and in combed hair, and metres over
which it is smooth."""
_TIE = 18
"""Row of the grid, behind, where tied hair is gathered: 11 cm from the crown."""
_ROUNDS = 3
"""Rounds in which lines take the sign of their surroundings."""


@dataclass(frozen=True)
class DirectionField:
    """``way`` : (COLUMNS, ROWS, 3) unit vectors along the hull from roots to tips. ``combed`` : (COLUMNS, ROWS) 0 where
    hair runs every way, 1 where all of it runs along ``way``."""

    way: np.ndarray
    combed: np.ndarray


def direction_field(surface: HairSurface, views: Sequence[HairView], style: Style | None = None) -> DirectionField:
    """The field from the lines that the views show on the hair's surface; elsewhere it is combed like ``style``, or as
    is usual."""
    grid = surface.grid
    tensor, weight, clear = _lines(surface, views)
    usual = combing(surface) if style is None else styled(surface, style)
    prior = _UNKNOWN * usual[..., :, None] * usual[..., None, :]
    smooth = grid.filled((tensor + prior) / (weight + _UNKNOWN)[..., None, None], weight + _UNKNOWN, _SPREAD)
    line, sure = _strongest(smooth, grid.normal)
    flow = usual
    for _ in range(_ROUNDS):
        along = (line * flow).sum(-1)
        signed = np.where(along < 0, -1.0, 1.0)[..., None] * line
        flow = _tangent(grid.filled(signed, sure * np.abs(along) + 1e-3, 2 * _SPREAD), grid.normal)
    sign = np.where((line * flow).sum(-1) < 0, -1.0, 1.0)[..., None]
    share = np.clip(2 * sure, 0, 1)[..., None]
    way = grid.filled(share * sign * line + (1 - share) * flow, np.ones(sure.shape), 0.5 * _SPREAD)
    clearness = grid.filled(clear / np.maximum(weight, 1e-9), weight + 1e-4, _COMBED_SPREAD)
    low, high = _COMBED
    return DirectionField(_tangent(way, grid.normal), np.clip((clearness - low) / (high - low), 0, 1))


def combing(surface: HairSurface) -> np.ndarray:
    """(COLUMNS, ROWS, 3) unit vectors: the way hair is usually combed, given where it is."""
    grid = surface.grid
    below = grid.s - grid.line[:, None]
    azimuth = np.broadcast_to(grid.azimuth, below.shape)
    beyond = (below > 0.008) & (below < 0.03)
    bare = 1 - (surface.there * beyond).sum(1) / np.maximum(beyond.sum(1), 1)
    bare = np.clip(2 * bare - 0.5, 0, 1)[:, None]  # whether the forehead of each column is
    sides = (np.abs(azimuth) > 1.0) & (np.abs(azimuth) < 2.0) & (below > _LONG) & (below < 2 * _LONG)
    long_ = float(np.clip(2 * (surface.there * sides).sum() / sides.sum() - 0.2, 0, 1))
    back = np.broadcast_to([0.0, 0.0, -1.0], grid.place.shape)
    lateral = np.zeros(grid.place.shape)
    lateral[..., 0] = np.tanh(grid.place[..., 0] / 0.01)
    short = 1 - long_
    swept = short * back + long_ * (lateral + 0.4 * grid.down)
    front = bare[..., None] * swept + (1 - bare[..., None]) * grid.down
    turn = np.clip((_FRONT - np.abs(azimuth)) / 0.5, 0, 1) * np.clip((0.02 - below) / 0.02, 0, 1)
    turn = np.maximum(
        turn, long_ * np.clip((0.10 - grid.s) / 0.03, 0, 1) * np.clip((1.9 - np.abs(azimuth)) / 0.5, 0, 1)
    )
    forehead = (bare[:, 0] * (np.abs(grid.azimuth[:, 0]) < 0.6)).sum() / (np.abs(grid.azimuth) < 0.6).sum()
    fall = grid.down + short * forehead * _SWEPT * np.clip((2.4 - np.abs(azimuth)) / 0.5, 0, 1)[..., None] * back
    return _tangent(turn[..., None] * front + (1 - turn[..., None]) * fall, grid.normal)


def styled(surface: HairSurface, style: Style) -> np.ndarray:
    """(COLUMNS, ROWS, 3) unit vectors: the way a style is combed."""
    grid = surface.grid
    radial, forward, backward, sideways, parting = (
        0.5 * sum(span) for span in (style.radial, style.forward, style.backward, style.sideways, style.parting)
    )
    side = np.tanh((grid.place[..., :1] - parting) / 0.01) * [1.0, 0.0, 0.0]
    top = radial * grid.down + (forward - backward) * np.array([0.0, 0.0, 1.0]) + sideways * side
    if style.tied:
        top = grid.place[0, _TIE] - grid.place
    hangs = 0.0 if style.tied else np.clip((grid.s - 0.055) / 0.09, 0, 1)[..., None]
    return _tangent(_unit(top) * (1 - hangs) + hangs * grid.down, grid.normal)


def _lines(surface: HairSurface, views: Sequence[HairView]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tensors (C, R, 3, 3) of the lines that photos show on the hair's outside, weighted, the weights (C, R), and the
    lines' clearness (C, R), weighted likewise."""
    grid = surface.grid
    outside = grid.place + grid.normal * surface.height[..., None]
    there = surface.there > 0.5
    one, other = (np.gradient(outside, axis=0), np.gradient(outside, axis=1))
    one = np.where(grid.radius[..., None] > 1e-3, (np.roll(outside, -1, 0) - np.roll(outside, 1, 0)), grid.around)
    first = _unit(one)
    normal = _unit(np.cross(other, first))
    normal *= np.where((normal * grid.normal).sum(-1, keepdims=True) < 0, -1, 1)
    second = np.cross(normal, first)
    tensor, total, clearness = np.zeros((*there.shape, 3, 3)), np.zeros(there.shape), np.zeros(there.shape)
    triangles = _triangles(there)
    for view in views:
        towards = _unit(view.camera.centre() - outside)
        square = (towards * normal).sum(-1)
        pixel = view.camera.project(outside)
        depth = np.minimum(view.depth, depth_map(outside.reshape(-1, 3), triangles, view.camera))
        before = pixel[..., 2] < looked_up(np.where(np.isfinite(depth), depth, 1e6), outside, view) + 0.008
        step = [
            (view.camera.project(outside + _PROBE * way)[..., :2] - pixel[..., :2]) / _PROBE for way in (first, second)
        ]
        cos, sin, clear = _photo_line(view, outside)
        # the line across: pixel offsets perpendicular to the photo's line vanish along it
        a, b = (-step[k][..., 0] * sin + step[k][..., 1] * cos for k in (0, 1))
        way = _unit(-b[..., None] * first + a[..., None] * second)
        weight = view.trust * clear * np.clip(square - 0.15, 0, 1) * before * there
        tensor += weight[..., None, None] * way[..., :, None] * way[..., None, :]
        total += weight
        clearness += weight * clear
    return tensor, total, clearness


def _photo_line(view: HairView, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine and sine of the photo's line at points (..., 3), and how clear it is, 0 to 1."""
    double = [looked_up(view.direction[..., k] * view.hair * view.known, points, view) for k in (0, 1)]
    clear = np.hypot(*double)
    angle = 0.5 * np.arctan2(double[1], double[0])
    return np.cos(angle), np.sin(angle), clear


def _triangles(there: np.ndarray) -> np.ndarray:
    """(T, 3) triangles of the grid's quads that carry hair."""
    index = np.arange(there.size).reshape(there.shape)
    corners = [index[:, :-1], np.roll(index, -1, 0)[:, :-1], np.roll(index, -1, 0)[:, 1:], index[:, 1:]]
    a, b, c, d = (corner[there[:, :-1]].ravel() for corner in corners)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def _strongest(tensor: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Main direction (..., 3) in the plane of ``normal`` (..., 3) of tensors (..., 3, 3), and how far it exceeds the
    other one, 0 to 1 for tensors of trace 1."""
    across = np.eye(3) - normal[..., :, None] * normal[..., None, :]
    value, vector = np.linalg.eigh(across @ tensor @ across)
    return vector[..., 2], value[..., 2] - value[..., 1]


def _tangent(vectors: np.ndarray, normal: np.ndarray) -> np.ndarray:
    return _unit(vectors - (vectors * normal).sum(-1, keepdims=True) * normal)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
