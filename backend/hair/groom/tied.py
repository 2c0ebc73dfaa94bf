"""Tied hair: guides combed along the scalp to one place, and the tail, braid or bun that begins there."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from backend.geometry.vectors import arc_length, smoothstep, unit_vectors
from backend.hair.groom.description import Groom
from backend.hair.groom.scalp import CENTRE

STEP, MOST_STEPS = 0.004, 120
"""Metres between points of a guide while it is combed to the tie, and their number: half a metre."""
_NEAR = 45
"""Places whose distances to the tie say which way it is: 2 cm about a point."""
Push = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Tie:
    """Where hair is tied: ``skin`` (3,) the scalp below it, ``normal`` (3,) there, ``place`` (3,) above it, metres; and
    for ``places`` (N, 3) of the scalp their ``distance`` (N,) to it along the skin."""

    skin: np.ndarray
    normal: np.ndarray
    place: np.ndarray
    places: np.ndarray
    distance: np.ndarray
    back: float

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.places)

    @cached_property
    def _slope(self) -> np.ndarray:
        """(N, 3) towards the tie at ``places``: down a plane fitted to the distances about each."""
        near = self._tree.query(self.places, k=_NEAR)[1]
        offset = self.places[near] - self.places[near].mean(1, keepdims=True)
        rise = self.distance[near] - self.distance[near].mean(1, keepdims=True)
        square = np.einsum("nki,nkj->nij", offset, offset) + 2e-6 * np.eye(3)
        return unit_vectors(-np.linalg.solve(square, np.einsum("nki,nk->ni", offset, rise)[..., None])[..., 0])

    def way(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) unit vectors along the skin to the tie from points (N, 3), and (N,) distances."""
        near = self._tree.query(points, k=4)[1]
        way = self._slope[near].mean(1)
        outward = unit_vectors(points - CENTRE)
        way = unit_vectors(way - outward * (way * outward).sum(1, keepdims=True))
        back = np.array([0.0, 0.0, -1.0]) + outward * outward[:, 2:]
        high = smoothstep(0.0, 0.08, points[:, 2]) * smoothstep(0.760, 0.795, points[:, 1])
        return unit_vectors(way + self.back * high[:, None] * unit_vectors(back)), self.distance[near[:, 0]]


def tie_field(groom: Groom, scalp: np.ndarray, mean: np.ndarray, edge: np.ndarray) -> Tie | None:
    """Where ``groom`` is tied on a scalp (N, 3), whose vertices lie at ``mean`` (N, 3) on the mean head and so far
    (N,) from the hairline; None where it hangs free."""
    tie = groom.shape["tie"]
    if tie["height"] <= 0:
        return None
    middle = (np.abs(mean[:, 0]) < 0.006) & (mean[:, 2] < tie["before"])
    chosen = np.flatnonzero(middle)[np.abs(mean[middle, 1] - tie["height"]).argmin()]
    inside = np.flatnonzero(edge > -0.012)
    inside = inside[np.random.default_rng(0).permutation(len(inside))[:7000]]
    places = scalp[inside]
    lengths, near = cKDTree(places).query(places, k=40)
    row = np.repeat(np.arange(len(places)), near.shape[1] - 1)
    graph = coo_matrix((lengths[:, 1:].ravel(), (row, near[:, 1:].ravel())), shape=(len(places),) * 2).tocsr()
    start = np.argsort(np.linalg.norm(places - scalp[chosen], axis=1))[:25]
    distance = dijkstra(graph, directed=False, indices=start, min_only=True)
    distance[np.isinf(distance)] = distance[np.isfinite(distance)].max()
    normal = unit_vectors(np.array([0.0, tie["up"], -1.0]))
    skin = scalp[chosen]
    return Tie(skin, normal, skin + 0.001 * tie["off_mm"] * normal, places, distance, tie["back"])


def gather(
    tie: Tie,
    places: np.ndarray,
    normals: np.ndarray,
    away: np.ndarray,
    push: Push,
    count: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(G, count, 3) guides from roots (N, 3) to the tie, flat on the head, ``away`` (N,) from it; and which roots (N,)
    they grow from: those that arrive."""
    way, distance = tie.way(places)
    shell = away + 0.0008 * generator.random(len(places)) + 0.006 * distance / tie.distance.max()
    lines = np.empty((len(places), MOST_STEPS, 3))
    lines[:, 0] = places
    rise = np.radians(32.0)
    heading, run = unit_vectors(way * np.cos(rise) + normals * np.sin(rise)), 0.0
    ring = unit_vectors(places - tie.skin)
    ring = unit_vectors(ring - (ring @ tie.normal)[:, None] * tie.normal)
    goal = tie.place + 0.0065 * ring + 0.0012 * generator.normal(size=places.shape)
    stop = np.full(len(places), MOST_STEPS)
    for number in range(1, MOST_STEPS):
        going = np.flatnonzero(stop == MOST_STEPS)
        if not len(going):
            break
        last, aim = lines[going, number - 1], goal[going]
        way, distance = tie.way(last)
        near = smoothstep(0.050, 0.012, distance)[:, None]
        ahead = unit_vectors(0.55 * heading[going] + 0.45 * (way * (1 - near) + unit_vectors(aim - last) * near))
        run += STEP
        least = 0.0005 + (shell[going] - 0.0005) * smoothstep(0.0, 0.025, run) * (1 - near[:, 0])
        moved, height = push(last + ahead * STEP, least)
        down = np.where((near[:, 0] < 0.3) & (height > least), 0.5 * (height - least), 0.0)
        moved = moved - down[:, None] * unit_vectors(moved - CENTRE)
        heading[going] = unit_vectors(moved - last)
        lines[going, number] = moved
        stop[going[np.linalg.norm(moved - aim, axis=1) < 0.006]] = number + 1
    arrived = np.flatnonzero(stop < MOST_STEPS)
    ends = goal + tie.normal * 0.006
    lines = [np.concatenate([lines[k, : stop[k]], ends[k : k + 1]]) for k in arrived]
    return np.stack([_evenly(line, count) for line in lines]), arrived


def loose_ends(tie: Tie, groom: Groom, push: Push, generator: np.random.Generator) -> np.ndarray:
    """(F, Q, 3) guides beyond the tie: a bun, a braid or a tail."""
    size = groom.shape["tie"]
    if size["bun_mm"] > 0:
        return _bun(tie, 0.001 * size["bun_mm"], size["turns"], generator)
    count, points, long = 160, 40, 0.001 * size["tail_mm"]
    middle = _tail(tie, long, push, points, size["lift"])
    thick = 0.001 * size["thick_mm"]
    if size["braid"] > 0:
        return _braid(middle, thick, size["braid"], generator)
    along = np.linspace(0, 1, points)
    width = thick * np.interp(along, [0, 0.06, 0.35, 0.75, 1], [0.55, 0.8, 1.2, 1.0, 0.55])
    place, angle = np.sqrt(generator.random(count)), generator.random(count) * 2 * np.pi
    side, front = _frame(middle)
    across = (place * np.cos(angle))[:, None, None] * side + (place * np.sin(angle))[:, None, None] * front
    ends = 1.0 - 0.35 * generator.random(count) ** 1.5
    lines = middle + across * width[:, None] + _wobble(count, points, 0.003, generator)
    lines = np.stack([_evenly(line, points, share) for line, share in zip(lines, ends, strict=True)])
    out, _ = push(lines.reshape(-1, 3), np.full(lines.shape[0] * points, 0.002))
    return out.reshape(lines.shape)


def _tail(tie: Tie, long: float, push: Push, points: int, lift: float) -> np.ndarray:
    """(points, 3) the middle of a tail: away from the head, then down, over neck and back."""
    step = long / (points - 1)
    way = unit_vectors(tie.normal + np.array([0.0, lift, 0.0]))
    line = [tie.place]
    for number in range(1, points):
        stiff = 0.80 ** (step / 0.005)
        way = unit_vectors(way * stiff + (1 - stiff) * np.array([0.0, -1.0, 0.0]))
        moved, _ = push((line[-1] + way * step)[None], np.array([0.012 * min(1.0, number / 4)]))
        way = unit_vectors(moved[0] - line[-1])
        line.append(line[-1] + way * step)
    return np.array(line)


def _frame(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Q, 3) to the left of a line (Q, 3) and towards the head's front, across it."""
    tangent = unit_vectors(np.gradient(line, axis=0))
    side = np.array([1.0, 0.0, 0.0]) - tangent * tangent[:, :1]
    side = unit_vectors(side)
    return side, np.cross(tangent, side)


def _braid(middle: np.ndarray, thick: float, turns: float, generator: np.random.Generator) -> np.ndarray:
    """(F, Q, 3) three strands that cross each other ``turns`` times along a line, and a loose end."""
    points, count = 90, 60
    line = _evenly(middle, points)
    along = np.linspace(0, 1, points)
    side, front = _frame(line)
    end = 0.9
    taper = np.interp(along, [0, 0.06, 0.5, end, 0.93, 1], [0.7, 1.0, 0.95, 0.6, 0.75, 0.5]) * thick
    strands = []
    for number in range(3):
        phase = 2 * np.pi * (turns * np.minimum(along, end) / end + number / 3)
        apart = np.where(along < end, 1.0, np.maximum(0.0, 1 - (along - end) / 0.04))
        core = line + (side * (np.sin(phase) * apart * taper * 0.95)[:, None])
        core = core + front * (np.sin(2 * phase) * apart * taper * 0.42)[:, None]
        place, angle = np.sqrt(generator.random(count)), generator.random(count) * 2 * np.pi
        wide, deep = np.cos(angle) * place, np.sin(angle) * place
        spin = 0.5 * phase
        x = wide[:, None] * np.cos(spin) - deep[:, None] * np.sin(spin)
        y = wide[:, None] * np.sin(spin) + deep[:, None] * np.cos(spin)
        lock = core + 0.62 * taper[:, None] * (x[..., None] * side + y[..., None] * front)
        strands.append(lock)
    return np.concatenate(strands)


def _bun(tie: Tie, radius: float, turns: float, generator: np.random.Generator) -> np.ndarray:
    """(F, Q, 3) a rope of hair wound round the tie, its strands twisted in it."""
    count, points = 420, 56
    across = unit_vectors(np.cross(tie.normal, [1.0, 0.0, 0.0]))
    along = np.linspace(0, 1, points)
    thick, angle = 0.55 * radius * np.sqrt(generator.random(count)), generator.random(count) * 2 * np.pi
    turn = 2 * np.pi * turns * along + 1.1
    wide, out = radius * (1.0 - 0.55 * along), 0.18 * radius + 0.75 * radius * along
    fat = np.clip(np.minimum(along / 0.10 + 0.35, (1 - along) / 0.14 + 0.10), 0.0, 1.0) * (1 - 0.25 * along)
    spin = angle[:, None] + 2 * np.pi * 1.5 * along
    wide = wide + thick[:, None] * fat * np.cos(spin)
    out = out + thick[:, None] * fat * np.sin(spin) * 0.95
    ring = np.cos(turn)[:, None] * across + np.sin(turn)[:, None] * np.cross(tie.normal, across)
    lines = tie.place - np.array([0.0, 0.002, 0.0]) + out[..., None] * tie.normal + wide[..., None] * ring
    return lines + _wobble(count, points, 0.0007, generator)


def _wobble(count: int, points: int, size: float, generator: np.random.Generator) -> np.ndarray:
    """(count, points, 3) smooth random offsets along lines, metres."""
    along, knots = np.linspace(0, 1, points), np.linspace(0, 1, 9)
    offsets = size * generator.normal(size=(count, 3, len(knots)))
    return np.stack([[np.interp(along, knots, axis) for axis in one] for one in offsets]).transpose(0, 2, 1)


def _evenly(line: np.ndarray, count: int, share: float = 1.0) -> np.ndarray:
    """(count, 3) points evenly along the first ``share`` of a line (Q, 3)."""
    length = arc_length(line + np.arange(len(line))[:, None] * 1e-9)
    return np.stack([np.interp(np.linspace(0, share * length[-1], count), length, axis) for axis in line.T], 1)
