"""Make the UV map ``Head``: MakeHuman's head chart upright with an enlarged face, all other charts in a strip below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from backend.geometry.subdivision import linear_split
from trainer.template.makehuman import BaseMesh
from trainer.template.topology import Selection

MARGIN = 0.004
"""Empty border around every chart, in units of the square (8 pixels at 2048)."""

FACE_HALF_WIDTH = 0.147
"""Half the width, in atlas units, of the part of MakeHuman's head chart that keeps its proportions (ear to ear)."""

FACE_HEIGHT = 0.225
"""Height of that part, from below the chin to the hairline, in atlas units."""

FACE_SHARE = 0.80
"""Share of the square's width for this part; the rest of the head is compressed into the remainder."""

STRIP_HEIGHT = 0.17
"""Height of the strip for the other charts."""

_DENSITY = {
    "mouth": 0.55,
    "socket": 0.45,
    "neck": 0.75,
    "eye_left": 2.6,
    "eye_right": 2.6,
    "teeth_upper": 1.2,
    "teeth_lower": 1.2,
    "tongue": 0.8,
    "lashes": 1.0,
}
"""Relative texel density (UV length per metre) of the charts in the strip."""


@dataclass(frozen=True)
class UVMap:
    """(T, 2) float64 coordinates, v up, and (F, 4) int64 quads into them."""

    uv: np.ndarray
    quads: np.ndarray


def makehuman_map(base: BaseMesh, selection: Selection) -> UVMap:
    """The template's part of MakeHuman's original atlas."""
    used, quads = np.unique(base.uv_quads[selection.hm08_face], return_inverse=True)
    return UVMap(base.uv[used], quads.reshape(-1, 4))


def split_quads(uv_map: UVMap, start: int, stop: int) -> UVMap:
    """Split the quads ``start:stop`` (whole charts) of a map in four each, which replace their parents."""
    used, own = np.unique(uv_map.quads[start:stop], return_inverse=True)
    matrix, finer = linear_split(own.reshape(-1, 4), len(used))
    added = (matrix @ uv_map.uv[used])[len(used) :]
    names = np.concatenate([used, len(uv_map.uv) + np.arange(len(added))])
    quads = np.concatenate([uv_map.quads[:start], names[finer], uv_map.quads[stop:]])
    return UVMap(np.concatenate([uv_map.uv, added]), quads)


def chart_labels(quads: np.ndarray, count: int) -> np.ndarray:
    """(F,) connected component of each quad in UV space; ``count`` is the number of UV vertices."""
    edges = np.concatenate([quads[:, [corner, (corner + 1) % 4]] for corner in range(4)])
    graph = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    labels = sp.csgraph.connected_components(graph, directed=False)[1]
    return np.unique(labels[quads[:, 0]], return_inverse=True)[1]


def _squeezed(distance: np.ndarray, kept: float, slope: float, reach: float, room: float) -> np.ndarray:
    """Monotone map of distances in [0, reach] onto [0, room]: linear with ``slope`` up to ``kept``, increasingly
    compressed beyond, with a continuous derivative."""
    left, beyond = room - slope * kept, np.clip((distance - kept) / (reach - kept), 0.0, 1.0)
    share = 0.5 * left  # this part is compressed evenly, or the outermost quads would vanish
    power = (slope * (reach - kept) - share) / (left - share)
    curve = (left - share) * (1.0 - (1.0 - beyond) ** power) + share * beyond
    return np.where(distance < kept, slope * distance, slope * kept + curve)


def _head_chart(uv: np.ndarray) -> np.ndarray:
    """MakeHuman's head chart upright (v up, the person's left at larger u) in [0, 1] x [STRIP_HEIGHT, 1].

    The face keeps its proportions; the back and the top of the head are compressed.
    """
    low, high = uv.min(0), uv.max(0)
    slope = 0.5 * FACE_SHARE / FACE_HALF_WIDTH
    across, up = uv[:, 1] - (low[1] + high[1]) / 2, high[0] - uv[:, 0]
    sideways = _squeezed(np.abs(across), FACE_HALF_WIDTH, slope, (high[1] - low[1]) / 2, 0.5 - MARGIN)
    height = _squeezed(up, FACE_HEIGHT, slope, high[0] - low[0], 1.0 - STRIP_HEIGHT - 2 * MARGIN)
    return np.stack([0.5 + np.sign(across) * sideways, STRIP_HEIGHT + MARGIN + height], axis=1)


def _polar_eye(points: np.ndarray, front: bool) -> np.ndarray:
    """Azimuthal equidistant map of half an eyeball (around +z or -z) onto the unit disc."""
    centred = points - points.mean(0)
    radius = np.hypot(centred[:, 0], centred[:, 1])
    polar = np.arctan2(radius, centred[:, 2] if front else -centred[:, 2])
    direction = centred[:, :2] / np.maximum(radius, 1e-12)[:, None]
    if not front:
        direction = direction * [-1.0, 1.0]
    return direction * (polar / (np.pi / 2))[:, None]


def _signed_area(uv: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """(F,) signed areas of UV quads."""
    first, second = uv[quads[:, 2]] - uv[quads[:, 0]], uv[quads[:, 3]] - uv[quads[:, 1]]
    return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _surface_area(points: np.ndarray, quads: np.ndarray) -> float:
    """Summed area of 3D quads."""
    first, second = points[quads[:, 2]] - points[quads[:, 0]], points[quads[:, 3]] - points[quads[:, 1]]
    return float(0.5 * np.linalg.norm(np.cross(first, second), axis=1).sum())


def pack_shelves(sizes: Sequence[tuple[float, float]], width: float) -> tuple[list[tuple[float, float]], float]:
    """Pack boxes on shelves, tallest first; returns their lower-left corners and the total height."""
    corners: list[tuple[float, float]] = [(0.0, 0.0)] * len(sizes)
    x = y = shelf = 0.0
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], -sizes[i][0])):
        box_width, box_height = sizes[index]
        if x > 0 and x + box_width > width:
            x, y, shelf = 0.0, y + shelf, 0.0
        corners[index] = (x, y)
        x, shelf = x + box_width, max(shelf, box_height)
    return corners, y + shelf


def _part_of_faces(selection: Selection) -> np.ndarray:
    """(F,) part name of each quad."""
    names = np.empty(len(selection.quads), dtype=object)
    for name, part in selection.parts.items():
        names[part.face_start : part.face_stop] = name
    return names


def head_map(base: BaseMesh, selection: Selection) -> UVMap:
    """The UV map ``Head`` in [0, 1]^2 without overlaps."""
    original = makehuman_map(base, selection)
    points = base.vertices[selection.hm08_vertex]
    parts, labels = _part_of_faces(selection), chart_labels(original.quads, len(original.uv))
    uv = np.full_like(original.uv, np.nan)
    head_label = np.bincount(labels[parts == "head"]).argmax()
    strip: list[tuple[np.ndarray, np.ndarray]] = []  # UV vertex ids and their coordinates, scaled by density
    for label in np.unique(labels):
        faces = np.flatnonzero(labels == label)
        ids, quads = np.unique(original.quads[faces], return_inverse=True)
        quads = quads.reshape(-1, 4)
        if label == head_label:
            uv[ids] = _head_chart(original.uv[ids])
            continue
        chart, name = original.uv[ids].copy(), str(parts[faces[0]])
        corners = selection.quads[faces]
        if name.startswith("eye"):
            where = np.zeros(len(ids), dtype=int)
            where[quads.ravel()] = corners.ravel()
            part = selection.parts[name]
            eye = points[part.vertex_start : part.vertex_stop]
            middle = eye.mean(0)
            front = points[corners].mean((0, 1))[2] > middle[2]
            chart = _polar_eye(np.concatenate([points[where], eye]), front)[: len(ids)]
            key = name
        elif name == "head":
            key = "mouth" if len(faces) > 350 else "socket" if len(faces) > 200 else "neck"
        else:
            key = name
        if _signed_area(chart, quads).sum() < 0:
            chart[:, 0] *= -1
        scale = np.sqrt(_surface_area(points, corners) / np.abs(_signed_area(chart, quads)).sum())
        density = _DENSITY[key] * (0.5 if name.startswith("eye") and not front else 1.0)
        chart = (chart - chart.min(0)) * scale * density
        size = chart.max(0)
        if size[1] > size[0]:
            chart = np.stack([size[1] - chart[:, 1], chart[:, 0]], axis=1)
        strip.append((ids, chart))
    _place_strip(uv, strip)
    return UVMap(uv, original.quads)


def _place_strip(uv: np.ndarray, strip: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write the strip's charts into ``uv`` at the largest common scale that fits."""
    low, high = 0.0, 1e3
    for _ in range(60):
        scale = 0.5 * (low + high)
        sizes = [tuple(chart.max(0) * scale + 2 * MARGIN) for _, chart in strip]
        fits = pack_shelves(sizes, 1.0)[1] <= STRIP_HEIGHT and max(size[0] for size in sizes) <= 1.0
        low, high = (scale, high) if fits else (low, scale)
    sizes = [tuple(chart.max(0) * low + 2 * MARGIN) for _, chart in strip]
    for (ids, chart), corner in zip(strip, pack_shelves(sizes, 1.0)[0], strict=True):
        uv[ids] = chart * low + np.array(corner) + MARGIN
