"""Corresponding lines of ICT-FaceKit and the template, the edges of lids and lips, as pulls for the registration."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from backend.geometry.template import Template
from backend.rig.face_loops import QuadWalk, face_loops
from trainer.template.registration import Pull
from trainer.template.scans import FaceKit

_VERMILION_ROW = 5
"""Row of the template's mouth grid, counted from the contact, on the vermilion border."""
_LID_WEIGHT, _LIP_WEIGHT = 4e-4, 4e-4


def curve_pulls(template: Template, kit: FaceKit, aligned: np.ndarray) -> tuple[Pull, ...]:
    """Pulls of the head's cage (head vertices only) towards the same lines of ICT-FaceKit.

    ``aligned`` (26719, 3) is its neutral in the template's frame.
    """
    head = template.head.vertex_stop
    loops = face_loops(template)
    walk = QuadWalk(kit.quads[(kit.quads < kit.SOCKETS.stop).all(1)])
    pulls = []
    marks = [int(vertex) for vertex in kit.landmarks]
    for eye, (inner, above, outer, below) in zip(
        loops.eyes, ((42, (43, 44), 45, (46, 47)), (39, (38, 37), 36, (41, 40))), strict=True
    ):
        margin = eye.rows[eye.margin]
        upper = _path(walk, aligned, [marks[i] for i in (inner, *above, outer)])
        lower = _path(walk, aligned, [marks[i] for i in (inner, *below[::-1], outer)])
        pulls.append(_pull(template, margin[np.r_[eye.inner, eye.upper, eye.outer]], aligned[upper], head, _LID_WEIGHT))
        pulls.append(_pull(template, margin[np.r_[eye.inner, eye.lower, eye.outer]], aligned[lower], head, _LID_WEIGHT))
    mouth = loops.mouth
    lines = (
        (mouth.upper, mouth.contact, (60, 61, 62, 63, 64)),
        (mouth.lower, mouth.contact - 1, (60, 67, 66, 65, 64)),
        (mouth.upper, mouth.contact + _VERMILION_ROW, (48, 49, 50, 51, 52, 53, 54)),
        (mouth.lower, mouth.contact + _VERMILION_ROW, (48, 59, 58, 57, 56, 55, 54)),
    )
    for columns, row, through in lines:
        line = _path(walk, aligned, [marks[i] for i in through])
        whole = mouth.rows[row][np.r_[mouth.right, columns, mouth.left]]
        pulls.append(_pull(template, whole, aligned[line], head, _LIP_WEIGHT))
    return tuple(pulls)


def lip_sides(kit: FaceKit) -> tuple[np.ndarray, np.ndarray]:
    """Vertex ids of ICT-FaceKit's upper and lower lip, from behind the contact to past the vermilion border, without
    the corners."""
    walk = QuadWalk(kit.quads[(kit.quads < kit.SOCKETS.stop).all(1)])
    right, middle, left = (int(kit.landmarks[i]) for i in (60, 62, 64))
    loop = next(found for other in walk.neighbours(middle) if right in (found := _loop(walk, middle, other)))
    outward = max(walk.neighbours(middle) - set(loop), key=lambda vertex: kit.neutral[vertex, 2])
    grid = walk.stack(loop, outward, (-2, 8))
    first, last = sorted((loop.index(right), loop.index(left)))
    lower = np.arange(first + 1, last)  # the loop starts in the middle of the upper lip
    upper = np.r_[0:first, last + 1 : len(loop)]
    return grid[:, upper].ravel(), grid[:, lower].ravel()


def _loop(walk: QuadWalk, first: int, second: int) -> list[int]:
    try:
        return walk.loop(first, second)
    except ValueError:
        return []


def _pull(template: Template, vertices: np.ndarray, line: np.ndarray, count: int, weight: float) -> Pull:
    """Pull that puts vertices at the same shares of arc length on ``line`` (N, 3)."""
    shares = _arc_shares(template.vertices[vertices].astype(np.float64))
    place = _arc_shares(line)
    targets = np.stack([np.interp(shares, place, line[:, axis]) for axis in range(3)], axis=1)
    rows = sp.csr_matrix((np.ones(len(vertices)), (np.arange(len(vertices)), vertices)), (len(vertices), count))
    return Pull(rows, targets, np.full(len(vertices), weight))


def _arc_shares(line: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return length / length[-1]


def _path(walk: QuadWalk, vertices: np.ndarray, through: list[int]) -> list[int]:
    """Shortest path along edges through the given vertices (Dijkstra, leg by leg)."""
    way = [through[0]]
    for start, goal in pairwise(through):
        best, before, queue = {start: 0.0}, {}, [(0.0, start)]
        while queue:
            length, vertex = heapq.heappop(queue)
            if vertex == goal:
                break
            if length > best[vertex]:
                continue
            for other in walk.neighbours(vertex):
                longer = length + float(np.linalg.norm(vertices[other] - vertices[vertex]))
                if longer < best.get(other, np.inf):
                    best[other], before[other] = longer, vertex
                    heapq.heappush(queue, (longer, other))
        leg = [goal]
        while leg[-1] != start:
            leg.append(before[leg[-1]])
        way += leg[-2::-1]
    return way
