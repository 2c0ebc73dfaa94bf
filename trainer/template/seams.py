"""Closed seams of a mesh (lid rims, lip seam) and their matching by arc length."""

from __future__ import annotations

from collections import defaultdict

import numpy as np


def _edges(quads: np.ndarray) -> set[tuple[int, int]]:
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    sides = np.sort(sides[sides[:, 0] != sides[:, 1]], axis=1)
    return set(map(tuple, sides.tolist()))


def seam_loop(quads: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Vertices, in order, of the one closed curve between the quads with ``inside`` (F,) bool and the others.

    Raises ``ValueError`` when the seam is not one closed curve.
    """
    neighbours = defaultdict(list)
    for a, b in _edges(quads[inside]) & _edges(quads[~inside]):
        neighbours[a].append(b)
        neighbours[b].append(a)
    if not neighbours or any(len(around) != 2 for around in neighbours.values()):
        raise ValueError("the seam is not a closed curve")
    loop, previous = [min(neighbours)], None
    while True:
        onward = next(vertex for vertex in neighbours[loop[-1]] if vertex != previous)
        previous = loop[-1]
        if onward == loop[0]:
            break
        loop.append(onward)
    if len(loop) != len(neighbours):
        raise ValueError("the seam has more than one closed curve")
    return np.array(loop)


def _arc(count: int, first: int, last: int) -> np.ndarray:
    return np.arange(first, last + 1 if last >= first else last + count + 1) % count


def _lengths(points: np.ndarray) -> np.ndarray:
    lengths = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    return lengths / lengths[-1]


def _arcs(points: np.ndarray) -> list[np.ndarray]:
    """The upper and the lower arc of a loop between its ends (left and right for a mouth, inner and outer for an
    eye), both in the same direction."""
    across = points[:, 0] if points[:, 0].min() < 0 < points[:, 0].max() else np.abs(points[:, 0])
    low, high = int(across.argmin()), int(across.argmax())
    arcs = [_arc(len(points), low, high), _arc(len(points), high, low)[::-1]]
    return sorted(arcs, key=lambda arc: -points[arc, 1].mean())


def match_seams(own: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point of the loop ``own`` (N, 3), its place on ``other`` (M, 3) by arc length between the ends.

    Returns (N, 2) indices into ``other`` and (N,) the weight of the second one.
    """
    pairs, shares = np.zeros((len(own), 2), dtype=np.int64), np.zeros(len(own))
    for arc, other_arc in zip(_arcs(own), _arcs(other), strict=True):
        along, other_along = _lengths(own[arc]), _lengths(other[other_arc])
        first = np.clip(np.searchsorted(other_along, along, side="right") - 1, 0, len(other_arc) - 2)
        step = np.maximum(other_along[first + 1] - other_along[first], 1e-12)
        pairs[arc] = np.stack([other_arc[first], other_arc[first + 1]], axis=1)
        shares[arc] = np.clip((along - other_along[first]) / step, 0.0, 1.0)
    return pairs, shares
