"""Non-rigid registration of one face to another mesh, and the resulting correspondence. Only numpy.

After Amberg, Romdhani and Vetter 2007, with a translation instead of an affine map per vertex. The source's vertices
are attracted to the tangent planes of their closest target points; a stiffness between neighbours regularises them and
decreases over the rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .nearest import closest_on_triangles, nearest
from .surface import EdgeOperator, Surface, scatter, solve

STIFFNESS = (30.0, 10.0, 4.0, 2.0, 1.0, 0.5, 0.3, 0.2)
"""Stiffness against bending and stretching, relative to the attraction of one point, per stage."""
ROUNDS_EACH = 3
NORMAL_REACH = 0.05
"""A normal rotated by 60 degrees counts as this share of the face's size."""
FIRST_REACH, LAST_REACH = 0.12, 0.03
"""Points farther away than this share of the face's size do not attract; first and last round."""
SLIDE = 0.15
"""Weight of the attraction along the surface."""
CONFIDENCE_FALLOFF_SHARE = 0.006
"""Distance of the surfaces, as a share of the face's size, at which the confidence has fallen to 37 % (1/e)."""
MARKED_PULL = 50.0


@dataclass(frozen=True)
class Correspondence:
    """For V target vertices a source point each: ``triangle`` (V,), ``bary`` (V, 3), and confidence ``sure`` (V,)
    0-1."""

    triangle: np.ndarray
    bary: np.ndarray
    sure: np.ndarray


def register(source: Surface, target: Surface, face_size: float, marked: tuple[np.ndarray, np.ndarray] | None = None):
    """Deform ``source``, already aligned, to fit ``target``; yields between slices, returns its vertices (V, 3).

    Parameters
    ----------
    face_size : diagonal of the face.
    marked : source vertices (N,) and their positions on the target (N, 3).
    """
    start = source.vertices
    shift = np.zeros_like(start)
    length = np.linalg.norm(start[source.edges[:, 0]] - start[source.edges[:, 1]], axis=1)
    mean = length[length > 0].mean()
    hold = EdgeOperator(source.edges, np.clip(mean / np.maximum(length, 1e-12), 0.2, 5.0), len(start))
    rounds = len(STIFFNESS) * ROUNDS_EACH
    for number in range(rounds):
        stiffness = STIFFNESS[number // ROUNDS_EACH]
        share = number / (rounds - 1)
        reach = face_size * FIRST_REACH * (LAST_REACH / FIRST_REACH) ** share
        moved = source.moved(start + shift)
        pull, goal = yield from _pulls(moved, target, reach, face_size * NORMAL_REACH)
        if marked is not None:
            pull[marked[0]] = MARKED_PULL
            goal[marked[0]] = marked[1]
        weight = pull[:, None]

        def system(x: np.ndarray, weight=weight, stiffness=stiffness) -> np.ndarray:
            return weight * x + stiffness * hold(x) + 0.002 * x

        shift = yield from solve(
            system,
            weight + stiffness * hold.diagonal + 0.002,
            weight * (goal - start) + 0.002 * shift,
            shift,
            steps=60,
            tolerance=1e-3,
        )
    return start + shift


def _pulls(moved: Surface, target: Surface, reach: float, normal_reach: float):
    """(V,) weights and (V, 3) goals of the attraction by closest points, searched in both directions."""
    points, normals = moved.vertices, moved.normals
    there = np.hstack([target.vertices, normal_reach * target.normals])
    here = np.hstack([points, normal_reach * normals])
    found, _ = yield from nearest(here, there)
    weight, sums = _one_way(points, normals, target.vertices[found], target.normals[found], reach)
    near = np.flatnonzero(_inside_box(target.vertices, points, reach))
    if len(near) > 6000:
        near = np.random.default_rng(len(near)).permutation(near)[:6000]
    if len(near):
        back, _ = yield from nearest(there[near], here)
        pull, goal = _one_way(points[back], normals[back], target.vertices[near], target.normals[near], reach)
        share = min(1.0, 0.5 * len(points) / len(near))
        weight_back = np.bincount(back, pull * share, len(points))
        sums = sums * weight[:, None] + scatter(back, goal * (pull * share)[:, None], len(points))
        weight = weight + weight_back
        sums = np.where(weight[:, None] > 0, sums / np.maximum(weight[:, None], 1e-12), points)
    return weight, sums


def _one_way(points, normals, onto, onto_normals, reach):
    gap = onto - points
    facing = np.einsum("nd,nd->n", normals, onto_normals)
    distance = np.linalg.norm(gap, axis=1)
    weight = np.clip(1.0 - (distance / reach) ** 2, 0.0, 1.0) * np.clip((facing - 0.3) / 0.4, 0.0, 1.0)
    along = np.einsum("nd,nd->n", gap, onto_normals)[:, None] * onto_normals
    return weight, points + along + SLIDE * (gap - along)


def _inside_box(points: np.ndarray, around: np.ndarray, margin: float) -> np.ndarray:
    return ((points > around.min(axis=0) - margin) & (points < around.max(axis=0) + margin)).all(axis=1)


def correspond(target: Surface, bent: Surface, face_size: float):
    """The closest point of ``bent`` for each target vertex; yields between slices, returns a ``Correspondence``."""
    count = len(target.vertices)
    reach = face_size * NORMAL_REACH
    triangle, bary, sure = np.zeros(count, int), np.tile([1.0, 0.0, 0.0], (count, 1)), np.zeros(count)
    near = np.flatnonzero(_inside_box(target.vertices, bent.vertices, reach))
    if not len(near):
        return Correspondence(triangle, bary, sure)
    found, _ = yield from nearest(
        np.hstack([target.vertices[near], reach * target.normals[near]]),
        np.hstack([bent.vertices, reach * bent.normals]),
    )
    table = _triangles_around(bent.triangles, len(bent.vertices))
    best = np.full(len(near), np.inf)
    for column in table.T:
        candidate = column[found]
        has = candidate >= 0
        corners = bent.vertices[bent.triangles[np.maximum(candidate, 0)]]
        weights, distance = closest_on_triangles(target.vertices[near], corners)
        closer = has & (distance < best)
        best[closer], triangle[near[closer]], bary[near[closer]] = distance[closer], candidate[closer], weights[closer]
        yield
    corner_normals = bent.normals[bent.triangles[triangle[near]]]
    facing = np.einsum("nd,nkd,nk->n", target.normals[near], corner_normals, bary[near])
    sure[near] = np.exp(-((best / (CONFIDENCE_FALLOFF_SHARE * face_size)) ** 2)) * np.clip(
        (facing - 0.2) / 0.5, 0.0, 1.0
    )
    return Correspondence(triangle, bary, sure)


def _triangles_around(triangles: np.ndarray, count: int) -> np.ndarray:
    """(V, most) triangles at each vertex, padded with -1."""
    vertex = triangles.ravel()
    order = np.argsort(vertex, kind="stable")
    has = np.bincount(vertex, minlength=count)
    most = min(int(has.max()), 12)
    start = np.concatenate([[0], np.cumsum(has)[:-1]])
    table = np.full((count, most), -1)
    for column in range(most):
        rows = np.flatnonzero(has > column)
        table[rows, column] = order[start[rows] + column] // 3
    return table
