"""Closed seams of a mesh: the lid rims and the seam behind the lips."""

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
