"""Non-rigid registration of one face to another mesh, and the correspondence that follows; numpy only.

A similarity by marked points or by search, then, after Amberg, Romdhani and Vetter 2007 with a translation per vertex,
the source's vertices are attracted to the tangent planes of their closest target points; a stiffness between
neighbours decreases over the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import AddonError
from ..shared.similarity import Similarity, fit_similarity

PAIRS_PER_SLICE = 1_500_000


def nearest(points: np.ndarray, among: np.ndarray):
    """Index of the nearest row of ``among`` (N, D) for each row of ``points`` (M, D); yields between slices.

    Returns (M,) int and (M,) distances.
    """
    index, distance = np.empty(len(points), int), np.empty(len(points))
    centre = among.mean(axis=0)
    other = (among - centre).astype(np.float32)
    half = 0.5 * np.einsum("nd,nd->n", other, other)
    size = max(PAIRS_PER_SLICE // max(len(among), 1), 1)
    for first in range(0, len(points), size):
        part = (points[first : first + size] - centre).astype(np.float32)
        score = part @ other.T
        score -= half
        best = score.argmax(axis=1)
        index[first : first + size] = best
        distance[first : first + size] = np.linalg.norm(part - other[best], axis=1)
        yield
    return index, distance


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Closest points on triangles, one triangle per point.

    points : (M, 3).
    corners : (M, 3, 3).

    Returns the barycentric weights (M, 3) and the distances (M,).
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = (np.einsum("md,md->m", p, q) for p, q in ((ab, ab), (ab, ac), (ac, ac)))
    d20, d21 = np.einsum("md,md->m", ap, ab), np.einsum("md,md->m", ap, ac)
    below = d00 * d11 - d01 * d01
    safe = np.where(np.abs(below) > 1e-30, below, 1.0)
    v, w = (d11 * d20 - d01 * d21) / safe, (d00 * d21 - d01 * d20) / safe
    inside = (v >= 0) & (w >= 0) & (v + w <= 1) & (np.abs(below) > 1e-30)
    best = np.stack([1 - v - w, v, w], -1)
    distance = np.where(inside, np.linalg.norm(points - np.einsum("mk,mkd->md", best, corners), axis=1), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        along = corners[:, j] - corners[:, i]
        length = np.einsum("md,md->m", along, along)
        t = np.clip(np.einsum("md,md->m", points - corners[:, i], along) / np.where(length > 0, length, 1.0), 0.0, 1.0)
        away = np.linalg.norm(points - corners[:, i] - t[:, None] * along, axis=1)
        closer = ~inside & (away < distance)
        edge = np.zeros_like(best)
        edge[:, i], edge[:, j] = 1 - t, t
        best[closer], distance[closer] = edge[closer], away[closer]
    return best, distance


@dataclass(frozen=True)
class Surface:
    """Triangle mesh. vertices : (V, 3) float64. triangles : (T, 3) int."""

    vertices: np.ndarray
    triangles: np.ndarray

    def moved(self, vertices: np.ndarray) -> Surface:
        """The same triangles with new vertices (V, 3)."""
        return Surface(vertices, self.triangles)

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) unit normals, area-weighted; zero at vertices without area."""
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        face = np.cross(b - a, c - a)
        return unit(scatter(self.triangles, np.repeat(face[:, None], 3, axis=1), len(self.vertices)))

    @property
    def points_inwards(self) -> bool:
        """Whether the normals point to the middle, as flipped ones do."""
        a, b, c = (self.vertices[self.triangles[:, k]] - self.vertices.mean(axis=0) for k in range(3))
        return bool(np.einsum("td,td->", np.cross(a, b), c) < 0)

    @cached_property
    def edges(self) -> np.ndarray:
        """(E, 2) each edge once."""
        pairs = np.concatenate([self.triangles[:, [0, 1]], self.triangles[:, [1, 2]], self.triangles[:, [2, 0]]])
        low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
        code = np.unique((low * len(self.vertices) + high)[low != high])
        return np.stack([code // len(self.vertices), code % len(self.vertices)], -1)

    @cached_property
    def pieces(self) -> np.ndarray:
        """(V,) connected component of each vertex, numbered by size: 0 is the largest."""
        label = np.arange(len(self.vertices))
        both = np.concatenate([self.edges, self.edges[:, ::-1]])
        both = both[np.argsort(both[:, 0], kind="stable")]
        vertex, start = np.unique(both[:, 0], return_index=True)
        while len(both):
            new = label.copy()
            new[vertex] = np.minimum(label[vertex], np.minimum.reduceat(label[both[:, 1]], start))
            np.minimum.at(new, label[vertex], new[vertex])  # also update the vertex that the label names
            new = new[new]
            if (new == label).all():
                break
            label = new
        _, label, counts = np.unique(label, return_inverse=True, return_counts=True)
        order = np.empty(len(counts), int)
        order[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        return order[label]

    def part(self, keep: np.ndarray) -> tuple[Surface, np.ndarray]:
        """The sub-surface of the vertices in ``keep`` (V,) bool, and their indices in this one."""
        number = np.full(len(self.vertices), -1)
        index = np.flatnonzero(keep)
        number[index] = np.arange(len(index))
        triangles = number[self.triangles]
        return Surface(self.vertices[index], triangles[(triangles >= 0).all(axis=1)]), index


def welded(vertices: np.ndarray, triangles: np.ndarray, owner: np.ndarray) -> tuple[Surface, np.ndarray]:
    """Merge vertices (V, 3) at equal positions with the same ``owner`` (V,), and faces with equal corners, which some
    exports have for both sides; return the surface and (V,) the new index of each vertex."""
    size = np.ptp(vertices, axis=0).max() if len(vertices) else 1.0
    grid = np.column_stack([np.round(vertices / max(1e-6 * size, 1e-30)), owner]).astype(np.int64)
    _, first, number = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    number = number.reshape(-1)
    new = number[triangles]
    flat = (new[:, 0] == new[:, 1]) | (new[:, 1] == new[:, 2]) | (new[:, 0] == new[:, 2])
    a, b, c = np.sort(new[~flat], axis=1).T.astype(np.int64)
    _, once = np.unique((a * len(first) + b) * len(first) + c, return_index=True)
    return Surface(vertices[first], new[~flat][np.sort(once)]), number


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise vectors (..., 3) to length one; zero vectors stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 1e-20, length, 1.0)


def scatter(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """(count, C) sums of ``values`` (..., C) grouped by ``index`` (...)."""
    flat, columns = index.ravel(), values.reshape(index.size, -1)
    return np.stack([np.bincount(flat, columns[:, c], count) for c in range(columns.shape[1])], -1)


class EdgeOperator:
    """Graph Laplacian: ``x -> sum over neighbours of stiffness * (x_i - x_j)``, vectorised in numpy."""

    def __init__(self, edges: np.ndarray, stiffness: np.ndarray, count: int) -> None:
        both = np.concatenate([edges, edges[:, ::-1]])
        order = np.argsort(both[:, 0], kind="stable")
        both, weights = both[order], np.concatenate([stiffness, stiffness])[order]
        self.column, self.weight = both[:, 1], weights[:, None]
        has = np.bincount(both[:, 0], minlength=count)
        self.start = np.concatenate([[0], np.cumsum(has)[:-1]])
        self.empty = has == 0
        self.start = np.minimum(self.start, max(len(both) - 1, 0))
        self.diagonal = np.bincount(both[:, 0], weights, count)[:, None]

    def neighbours(self, x: np.ndarray) -> np.ndarray:
        """(V, C) weighted sums over the neighbours."""
        if not len(self.column):
            return np.zeros_like(x)
        out = np.add.reduceat(x[self.column] * self.weight.astype(x.dtype), self.start, axis=0)
        out[self.empty] = 0.0
        return out

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.diagonal.astype(x.dtype) * x - self.neighbours(x)


def solve(operator, diagonal: np.ndarray, right: np.ndarray, start: np.ndarray, steps: int, tolerance: float = 1e-4):
    """Conjugate gradients with Jacobi preconditioner for (V, C) right-hand sides at once; yields after every step.

    operator : symmetric positive definite, (V, C) -> (V, C).
    diagonal : (V, 1).

    Returns (V, C).
    """
    x = start.copy()
    residual = right - operator(x)
    inverse = (1.0 / np.maximum(diagonal, 1e-20)).astype(right.dtype)
    z = inverse * residual
    direction = z.copy()
    old = np.einsum("vc,vc->c", residual, z)
    target = tolerance**2 * np.maximum(np.einsum("vc,vc->c", right, inverse * right), 1e-30)
    for _ in range(steps):
        if (old <= target).all():
            break
        applied = operator(direction)
        below = np.einsum("vc,vc->c", direction, applied)
        step = np.where(below > 0, old / np.where(below > 0, below, 1.0), 0.0).astype(x.dtype)
        x += step * direction
        residual -= step * applied
        z = inverse * residual
        new = np.einsum("vc,vc->c", residual, z)
        ratio = np.where(old > 0, new / np.where(old > 0, old, 1.0), 0.0).astype(x.dtype)
        direction = z + ratio * direction
        old = new
        yield
    return x


HEAD_SHARES = (1.0, 0.8, 0.62, 0.45, 0.3, 0.14)
"""Tried ratios of the source's height to the target's: head, head with neck, bust, half body, whole body."""
MASK_SHARES = (1.1, 0.9)
"""Tried ratios of the face's height to the target's, in case the target is only a face."""
WORST_FIT = 0.055
"""Mean distance relative to the face's size: heads of all kinds fit to 0.01 to 0.03, a tube or a sphere to 0.09."""
DIRECTIONS = 12
"""Tried directions around the upright axis: from within 15 degrees the search finds a face, from 30 no more surely."""
TRIED_POINTS, TRIED_TARGET = 350, 2500
KEPT_STARTS = 16
"""Starts that are followed on after three rounds on a third of the points."""
FINE_POINTS, FINE_TARGET = 800, 8000


def align_by_points(points: np.ndarray, onto: np.ndarray) -> Similarity:
    """Align marked points (N, 3) of both meshes. Raises ``AddonError`` ``few_points`` for less than four, or collinear
    ones."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False) if len(points) >= 4 else [0.0, 0.0]
    if len(points) < 4 or spread[1] < 0.1 * spread[0]:
        raise AddonError(
            "Too few points are marked on both meshes.", "Mark at least four, not in a line.", "few_points"
        )
    return fit_similarity(points, onto)


def find_alignment(source: Surface, face: np.ndarray, target: Surface, axes: np.ndarray):
    """Find the best alignment of the source's face to the target; yields between slices, returns a ``Similarity``.

    The source stands upright along z, and so does the target, in the world or by its own axes; it may look anywhere,
    be a head, a bust or a body, and of any size. Several starting sizes and directions at the target's top are refined
    by iterative closest points (ICP); the one with the least trimmed distance, relative to its size, wins.
    Raises ``AddonError`` ``no_face`` if none fits.

    Parameters
    ----------
    face : (N,) indices of the source's face vertices.
    axes : (3, 3) rotation of the target's own axes.
    """
    points, normals = source.vertices[face], source.normals[face]
    starts = []
    for turn in (np.eye(3), axes)[: 1 + int(np.trace(axes) < 3 - 1e-6)]:
        found = _starts(source.vertices, points, target.vertices @ turn)
        starts += [Similarity(one.scale, turn @ one.rotation, turn @ one.translation) for one in found]
    trials = [(0.0, number, start) for number, start in enumerate(starts)]
    for some, many, rounds, kept in (
        (TRIED_POINTS // 3, TRIED_TARGET // 3, 3, KEPT_STARTS),
        (TRIED_POINTS, TRIED_TARGET, 10, 3),
        (FINE_POINTS, FINE_TARGET, 12, 1),
    ):
        mine, there, tried = _spread(len(face), some), _spread(len(target.vertices), many), []
        for _, number, start in trials:
            fitted, cost = yield from _closest_points(
                points[mine], normals[mine], target.vertices[there], target.normals[there], start, rounds
            )
            tried.append((cost, number, fitted))
        trials = sorted(tried)[:kept]
    cost, _, fitted = trials[0]
    if cost > WORST_FIT:
        raise no_face()
    return fitted


def no_face() -> AddonError:
    """The error for a target without a face."""
    advice = "Stand it upright, or mark a few corresponding points on both."
    return AddonError("The target shows no face like the source's.", advice, "no_face")


def refine_alignment(source: Surface, face: np.ndarray, target: Surface, start: Similarity):
    """ICP from ``start``; yields between slices, returns a ``Similarity``."""
    some, fine = face[_spread(len(face), FINE_POINTS)], _spread(len(target.vertices), FINE_TARGET)
    fitted, _ = yield from _closest_points(
        source.vertices[some], source.normals[some], target.vertices[fine], target.normals[fine], start, 12
    )
    return fitted


def _spread(count: int, most: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(count)[:most]


def _starts(source: np.ndarray, face: np.ndarray, target: np.ndarray) -> Iterator[Similarity]:
    """Similarities that put the source (S, 3) on top of the target (T, 3), and its face (N, 3) in the target's middle,
    where that is only a face."""
    low, high = target.min(axis=0), target.max(axis=0)
    anchors = []
    middle = (source.min(axis=0) + source.max(axis=0)) / 2
    for share in HEAD_SHARES:
        upper = target[target[:, 2] >= high[2] - share * (high[2] - low[2])]
        top = (upper.min(axis=0) + upper.max(axis=0)) / 2
        anchors.append((share, source, [*middle[:2], source[:, 2].max()], [*top[:2], high[2]]))
    anchors += [(share, face, (face.min(axis=0) + face.max(axis=0)) / 2, (low + high) / 2) for share in MASK_SHARES]
    for yaw in np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
        c, s = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        for share, points, here, there in anchors:
            scale = share * (high[2] - low[2]) / max(np.ptp(points[:, 2]), 1e-12)
            yield Similarity(scale, rotation, np.asarray(there) - scale * rotation @ np.asarray(here))


def _closest_points(points, normals, target, target_normals, start: Similarity, rounds: int):
    """ICP with normals, trimming the worst 30 %. Returns the fit and its relative cost."""
    fitted, cost = start, np.inf
    size = np.linalg.norm(points.max(axis=0) - points.min(axis=0))
    for _ in range(rounds):
        reach = 0.15 * fitted.scale * size  # a normal rotated by 60 degrees counts as this distance
        moved, turned = fitted.apply(points), normals @ fitted.rotation.T
        index, distance = yield from nearest(
            np.hstack([moved, reach * turned]), np.hstack([target, reach * target_normals])
        )
        limit = np.quantile(distance, 0.7)
        keep = distance <= limit
        cost = float(distance[keep].mean() / (fitted.scale * size))
        onto = target[index]
        along = np.einsum("nd,nd->n", onto - moved, target_normals[index])[:, None] * target_normals[index]
        goal = moved + along + 0.3 * (onto - moved - along)
        new = fit_similarity(points[keep], goal[keep])
        tilt = np.degrees(np.arccos(np.clip((np.trace(new.rotation.T @ start.rotation) - 1) / 2, -1, 1)))
        if not 0.6 < new.scale / start.scale < 1.7 or tilt > 50:
            return fitted, np.inf
        fitted = new
    return fitted, cost


def local_frames(rest: Surface, shape: np.ndarray) -> np.ndarray:
    """(V, 3, 3) per vertex the least-squares linear map of its neighbourhood from ``rest`` to ``shape`` (V, 3).

    Neighbours do not constrain the map across the surface; there normals map to normals, scaled by the mean stretch.
    """
    i, j = np.concatenate([rest.edges, rest.edges[:, ::-1]]).T
    before, after = rest.vertices[j] - rest.vertices[i], shape[j] - shape[i]
    weight = 1.0 / np.maximum(np.einsum("ed,ed->e", before, before), 1e-20)
    count = len(rest.vertices)
    rows = np.arange(len(i))
    cross = np.einsum("e,ea,eb->eab", weight, after, before).reshape(len(i), 9)
    square = np.einsum("e,ea,eb->eab", weight, before, before).reshape(len(i), 9)
    sums = np.stack([np.bincount(i, column[rows], count) for column in (*cross.T, *square.T)], -1)
    cross, square = sums[:, :9].reshape(-1, 3, 3), sums[:, 9:].reshape(-1, 3, 3)
    stretch = np.sqrt(
        np.bincount(i, np.einsum("ed,ed->e", after, after) * weight, count) / np.maximum(np.bincount(i, None, count), 1)
    )
    turned = unit(rest.moved(shape).normals) * stretch[:, None]
    strength = np.maximum(np.einsum("vaa->v", square), 1e-12)
    cross = cross + np.einsum("v,va,vb->vab", strength, turned, rest.normals)
    square = square + np.einsum("v,va,vb->vab", strength, rest.normals, rest.normals) + 1e-6 * np.eye(3)
    return np.einsum("vab,vbc->vac", cross, np.linalg.inv(square))


STIFFNESS = (30.0, 10.0, 4.0, 1.0, 0.5, 0.25, 0.1, 0.05)
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
    index, _ = yield from nearest(here, there)
    weight, sums = _one_way(points, normals, target.vertices[index], target.normals[index], reach)
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
    index, _ = yield from nearest(
        np.hstack([target.vertices[near], reach * target.normals[near]]),
        np.hstack([bent.vertices, reach * bent.normals]),
    )
    table = _triangles_around(bent.triangles, len(bent.vertices))
    best = np.full(len(near), np.inf)
    for column in table.T:
        candidate = column[index]
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


RELIEF_REACH = 0.05
"""Around a point, as a share of the face's size: of a lid, a lip or a wing of the nose."""
LEAST_ALIKE = 0.55
"""Other heads' reliefs are alike by 0.67 to 0.8, those of turned heads, bodies, hands and stones by at most 0.43."""
RELIEF_POINTS, RELIEF_SAMPLES, RELIEF_ROWS = 1000, 6000, 50
COVER_COSINE, COVER_NEAR, COVER_FAR = 0.9, 0.4, 6.0
"""A surface in this cone around the normal, from and to these multiples of the reach, covers a point."""


def relief_alike(source: Surface, face: np.ndarray, bent: np.ndarray, target: Surface, face_size: float):
    """How alike the reliefs of a face and of the target are where the face was laid on it: the correlation of the
    heights of the surface around points that nothing covers. Yields between slices.

    The fit moves a source on any surface, but lids, lips and nose are in the right places only on a face.

    Parameters
    ----------
    source, face : aligned, and (N,) indices of its face's vertices.
    bent : (V, 3) its vertices after ``register``.
    """
    some = face[_spread(len(face), RELIEF_POINTS)]
    own = _samples(source, source.vertices[face], face_size)
    before, free = yield from _relief(source.vertices[some], source.normals[some], *own, RELIEF_REACH * face_size)
    points, normals = _samples(target, bent[face], face_size)
    here = np.hstack([bent[some], NORMAL_REACH * face_size * source.moved(bent).normals[some]])
    index, _ = yield from nearest(here, np.hstack([points, NORMAL_REACH * face_size * normals]))
    after, _ = yield from _relief(points[index], normals[index], points, normals, RELIEF_REACH * face_size)
    spread = before[free].std() * after[free].std()
    return float(((before - before[free].mean()) * after)[free].mean() / max(spread, 1e-30))


def _samples(surface: Surface, around: np.ndarray, face_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) spread evenly over a surface near ``around`` (M, 3), and the normals there."""
    near = _inside_box(surface.vertices, around, 2 * RELIEF_REACH * face_size)
    a, b, c = np.moveaxis(surface.vertices[surface.triangles[near[surface.triangles].any(axis=1)]], 1, 0)
    normals = np.cross(b - a, c - a)
    area = np.linalg.norm(normals, axis=1)
    random = np.random.default_rng(0)
    number = random.choice(len(area), RELIEF_SAMPLES, p=area / area.sum())
    u, v = np.sqrt(random.random((RELIEF_SAMPLES, 1))), random.random((RELIEF_SAMPLES, 1))
    return (1 - u) * a[number] + u * (1 - v) * b[number] + u * v * c[number], unit(normals[number])


def _relief(points: np.ndarray, normals: np.ndarray, samples: np.ndarray, facing: np.ndarray, reach: float):
    """(N,) mean height of a surface within ``reach`` of points on it, and (N,) bool whether nothing covers them."""
    height, free = np.empty(len(points)), np.empty(len(points), bool)
    for first in range(0, len(points), RELIEF_ROWS):
        rows = slice(first, first + RELIEF_ROWS)
        way = samples - points[rows, None]
        far, along = np.linalg.norm(way, axis=2), np.einsum("npd,nd->np", way, normals[rows])
        near = (far < reach) & (normals[rows] @ facing.T > 0)
        height[rows] = (along * near).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
        free[rows] = ~((along > COVER_COSINE * far) & (far > COVER_NEAR * reach) & (far < COVER_FAR * reach)).any(
            axis=1
        )
        yield
    return height, free
