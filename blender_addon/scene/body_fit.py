"""Geometry of fitting a head into a whole MakeHuman body, in plain numpy."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

SEAM_BAND = 0.045
"""Metres of skin above the cut through the neck over which the body blends into the head."""
NECK_WEIGHT, REST_WEIGHT = 1.0, 0.15
"""Weights of vertices in the seam band and above it when the head is aligned to the neck."""
UNITS = (0.1, 1.0, 10.0, 100.0)
"""Units per metre of common bodies: metres mostly, decimetres in MakeHuman, centimetres."""
UNIT_FACTOR_TOLERANCE = 1.6
"""A body whose head size differs by more than this factor in every unit was scaled on purpose."""
LARGEST_MISFIT = 0.035
"""Metres rms: larger than the difference between any two heads."""


@dataclass(frozen=True)
class Placement:
    """target = scale * points @ rotation.T + translation; ``misfit``: rms residual in metres of the head."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray
    misfit: float

    def points(self, points: np.ndarray) -> np.ndarray:
        """Transform positions (..., 3) into the body's frame."""
        return self.offsets(points) + self.translation

    def offsets(self, offsets: np.ndarray) -> np.ndarray:
        """Transform offsets (..., 3) into the body's frame."""
        return self.scale * (offsets @ self.rotation.T)


def place(head: np.ndarray, body: np.ndarray, weights: np.ndarray) -> Placement:
    """Align a head of real size to a body's own head by weighted least squares (Kabsch, Umeyama).

    The scale is used only to detect the body's unit, so that the head keeps its size in metres. If no unit fits, the
    body was scaled on purpose and the head is scaled with it.

    Parameters
    ----------
    head, body : (N, 3) corresponding vertices, metres and the body's unit.
    weights : (N,) of the alignment.
    """
    scale = _similarity(head, body, np.ones(len(head)))[0]
    unit = min(UNITS, key=lambda u: abs(np.log(scale / u)))
    if max(scale / unit, unit / scale) < UNIT_FACTOR_TOLERANCE:
        scale = unit
    _, rotation, translation = _similarity(head, body, weights, scale)
    placement = Placement(scale, rotation, translation, 0.0)
    misfit = np.sqrt(((placement.points(head) - body) ** 2).sum(axis=1).mean()) / scale
    return Placement(scale, rotation, translation, float(misfit))


def _similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, scale: float | None = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale (free or given), rotation (3, 3) and translation (3,) that map ``source`` to ``target``."""
    share = (weights / weights.sum())[:, None]
    middle, goal = (share * source).sum(axis=0), (share * target).sum(axis=0)
    u, s, vt = np.linalg.svd((share * (target - goal)).T @ (source - middle))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    if scale is None:
        scale = float((s * signs).sum() / max((share * (source - middle) ** 2).sum(), 1e-12))
    return scale, rotation, goal - scale * rotation @ middle


def seam_weights(vertices: np.ndarray, edges: np.ndarray, border: np.ndarray, band: float = SEAM_BAND) -> np.ndarray:
    """(V,) blend weights: 0 at the cut through the neck, 1 beyond ``band`` metres along edges from it, smooth between.

    Parameters
    ----------
    vertices : (V, 3) metres, z up.
    edges : (E, 2).
    border : (B, 2) edges with only one face; the lowest of their loops is the cut.
    """
    cut = _lowest_loop(vertices, border)
    t = np.clip(_way_along_edges(vertices, edges, cut, band) / band, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _lowest_loop(vertices: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Vertices of the border loop that lies lowest on average."""
    loop_of = {int(vertex): int(vertex) for vertex in np.unique(border)}

    def root(vertex: int) -> int:
        while loop_of[vertex] != vertex:
            vertex = loop_of[vertex]
        return vertex

    for a, b in border.tolist():
        loop_of[root(a)] = root(b)
    members: dict[int, list[int]] = {}
    for vertex in loop_of:
        members.setdefault(root(vertex), []).append(vertex)
    return np.array(min(members.values(), key=lambda loop: vertices[loop, 2].mean()), int)


def _way_along_edges(vertices: np.ndarray, edges: np.ndarray, start: np.ndarray, limit: float) -> np.ndarray:
    """(V,) shortest distance along edges from ``start`` (Dijkstra), metres; infinite beyond ``limit``."""
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    neighbours: list[list[tuple[int, float]]] = [[] for _ in vertices]
    for (a, b), length in zip(edges.tolist(), lengths.tolist(), strict=True):
        neighbours[a].append((b, length))
        neighbours[b].append((a, length))
    way = np.full(len(vertices), np.inf)
    way[start] = 0.0
    queue = [(0.0, int(vertex)) for vertex in start]
    while queue:
        so_far, vertex = heapq.heappop(queue)
        if so_far > way[vertex] or so_far > limit:
            continue
        for other, length in neighbours[vertex]:
            if so_far + length < way[other]:
                way[other] = so_far + length
                heapq.heappush(queue, (so_far + length, other))
    return way
