"""The direction of hair on the head, and the guides traced along it.

Photos show lines without a sign. They are lifted to the hair's surface, spread smoothly as tensors, and signed by the
way hair is combed from its roots. Guides run from the roots along the field, and back from hair that no root reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter
from scipy.spatial import cKDTree

from backend.geometry.vectors import arc_length, points_along, unit_vectors
from backend.hair.attach import apart
from backend.hair.curl import CURLS, Curl, Style
from backend.hair.draw import lock_edges
from backend.hair.hair_surface import COLUMNS, ROWS, STEP, HairSurface, HullGrid
from backend.hair.hair_views import HairView, looked_up, votes
from backend.rendering.rasterize import depth_map

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
_PARTINGS, _BACK, _FAN = (-0.05, -0.035, -0.02, 0.0, 0.02, 0.035, 0.05), (0.4, 1.0), 0.03
_LEANS = (0.6, 1.0), (1.7, 0.3)
"""Of the combings compared: metres of partings from the middle, how far hair runs backwards relative to aside, metres
over which hair turns that is swept to both sides, and how far aside and backwards hair runs that is swept to one."""
_TOP, _PARTED, _DEVIATIONS, _PATCH = 0.13, 1.4, 2.0, 0.0004
"""Metres from the crown and radians from the front where combings differ; and by how many standard deviations of the
noise another than the usual must agree better, where lines err independently from one patch to the next, in square
metres: a photo's lines share what they see over 2 cm. Long hair needs no such proof of its parting."""
_TOP_EDGE = (0.03, 0.4)
"""Metres and radians over which the top, which a chosen parting combs, fades into the sides."""
_WHORL = 0.5
"""How far hair behind the crown turns about it, relative to downwards: hair that runs straight down parts there."""
_LONG = 0.04
"""Metres below the usual hairline: hair that covers places so low at the sides is long."""
_COMBED, _COMBED_SPREAD = (0.40, 0.65), 0.03
"""How far the photos' lines run alike in hair that runs every way (curls, crew cuts) and in combed hair, and metres
over which it is smooth."""
_LEAST_FALL = 0.7
"""Cosine between hair that hangs and straight down: locks turn aside by at most 45 degrees before they bend back."""
_HAIRLINE, _NEAR_HAIRLINE = 2.0, 0.025
"""Cells over which the border of the hair is smooth, 12 mm, and metres from which half on hair does not run out over
it."""
_SIDES, _SOFT = (-1.0, 1.0), 0.006
"""To the right and to the left of a parting, and metres from it within which hair of both sides grows, half a lock:
with none the parting is a notch as deep as the hair is high."""
_KEPT = 0.1
"""Weight of the combing relative to a clear line along it, where lines take their sign: lines across it do not part
hair that it does not part."""
_ROUNDS = 3
"""Rounds in which lines take the sign of their surroundings."""


@dataclass(frozen=True)
class DirectionField:
    """``directions`` : (S, COLUMNS, ROWS, 3) unit vectors along the hull from roots to tips, one for all hair, or of
    what grows to the right and to the left of a parting. ``combed`` : (COLUMNS, ROWS) 0 where hair runs every way, 1
    where all of it runs along ``directions``. ``parting`` : x of the parting, metres."""

    directions: np.ndarray
    combed: np.ndarray
    parting: float = 0.0

    def side(self, place: np.ndarray) -> np.ndarray:
        """(M,) which of ``directions`` hair with roots at ``place`` (M, 3) follows: near the parting either."""
        soft = _SOFT * np.random.default_rng(0).uniform(-1, 1, len(place))
        return np.minimum(place[:, 0] + soft > self.parting, len(self.directions) - 1)


def direction_field(
    surface: HairSurface,
    views: Sequence[HairView],
    style: Style | None = None,
    knot: Knot | None = None,
    chosen: Parting | None = None,
) -> DirectionField:
    """The field from the lines that the views show on the hair's surface; elsewhere it is combed like ``style``, to the
    ``knot``, or as is usual. A ``chosen`` parting has the top to itself."""
    grid = surface.grid
    tensor, weight, alike, seen = _lines(surface, views)
    clearness = grid.filled(alike / np.maximum(seen, 1e-9), seen + 1e-4, _COMBED_SPREAD)
    combed = np.clip((clearness - _COMBED[0]) / (_COMBED[1] - _COMBED[0]), 0, 1)
    parting = Parting(0.0, style.aside if style else 0.0, 0.0)
    if knot is not None:
        usual = [_tangent(knot.position - grid.points, grid.normal)]
    elif style is not None:
        usual = [styled(surface, style, side) for side in _SIDES]
    else:
        parting = find_parting(surface, tensor, weight)
        usual = _combings(surface, parting)
    if chosen is not None:
        parting, around = chosen, np.abs(grid.azimuth)
        top = np.clip((_TOP - grid.s) / _TOP_EDGE[0], 0, 1) * np.clip((_PARTED - around) / _TOP_EDGE[1], 0, 1)
        tensor, weight, top = tensor * (1 - top[..., None, None]), weight * (1 - top), top[..., None]
        wanted = _combings(surface, chosen)
        below = usual if len(usual) == len(wanted) else usual[:1] * len(wanted)
        usual = [_tangent(top * way + (1 - top) * one, grid.normal) for way, one in zip(wanted, below, strict=True)]
    swept = knot is None and len(usual) == 1
    beyond = (grid.s < _TOP) * (np.abs(grid.azimuth) < _PARTED) * (grid.points[..., 0] - parting.offset)
    ways = []
    for way, side in zip(usual, _SIDES, strict=False):
        own = np.where((beyond * side < 0) & (len(usual) > 1), 0.0, 1.0)  # hair on the other side runs its own way
        ways.append(_direction(surface, tensor * own[..., None, None], weight * own, way, swept))
    return DirectionField(np.stack(ways), combed, parting.offset)


def _direction(
    surface: HairSurface, tensor: np.ndarray, weight: np.ndarray, usual: np.ndarray, swept: bool
) -> np.ndarray:
    """One of ``DirectionField.directions`` (C, R, 3) from weighted lines ``tensor`` (C, R, 3, 3) and the ``usual``
    combing (C, R, 3), which signs them. Lines across hair that is ``swept``, without a parting, say little."""
    grid = surface.grid
    prior = _UNKNOWN * usual[..., :, None] * usual[..., None, :]
    smooth = grid.filled((tensor + prior) / (weight + _UNKNOWN)[..., None, None], weight + _UNKNOWN, _SPREAD)
    line, sure = _strongest(smooth, grid.normal)
    flow = usual
    for _ in range(_ROUNDS):
        along = (line * flow).sum(-1)
        signed = np.where(along < 0, -1.0, 1.0)[..., None] * line
        pull, kept = sure * np.abs(along), _KEPT if swept else 1e-3
        mixed = (pull[..., None] * signed + kept * usual) / (pull + kept)[..., None]
        flow = _tangent(grid.filled(mixed, pull + kept, 2 * _SPREAD), grid.normal)
    along = (line * flow).sum(-1)
    sign = np.where(along < 0, -1.0, 1.0)[..., None]
    share = (np.clip(2 * sure, 0, 1) * np.where(swept, np.abs(along), 1))[..., None]
    way = grid.filled(share * sign * line + (1 - share) * flow, np.ones(sure.shape), 0.5 * _SPREAD)
    return along_hairline(surface, _falling(grid, _tangent(way, grid.normal)))


def _falling(grid: HullGrid, way: np.ndarray) -> np.ndarray:
    """The field ``way`` (C, R, 3), at least ``_LEAST_FALL`` of it downwards where hair hangs free of the scalp."""
    fall = _tangent(np.broadcast_to([0.0, -1.0, 0.0], way.shape), grid.normal)
    down = (way * fall).sum(-1, keepdims=True)
    hanging = np.clip((grid.s - grid.line[:, None]) / _LONG - 0.5, 0, 1)[..., None]
    least = np.maximum(down, _LEAST_FALL * hanging - (1 - hanging))
    aside = unit_vectors(way - down * fall)
    return unit_vectors(least * fall + np.sqrt(np.maximum(1 - least**2, 0)) * aside)


def along_hairline(surface: HairSurface, way: np.ndarray) -> np.ndarray:
    """The field ``way`` (C, R, 3) without what runs out over the hairline onto a bare forehead: hair that grows at the
    border of the hair runs along it or inwards, and hair of a fringe, whose border is not where it grows, hangs on."""
    grid = surface.grid
    covered = gaussian_filter((surface.coverage > 0.5).astype(float), _HAIRLINE, mode=("wrap", "nearest"))
    grows = gaussian_filter(surface.roots * surface.coverage, 1.0, mode=("wrap", "nearest")) > 0.5 * covered
    across = (np.roll(covered, -1, 0) - np.roll(covered, 1, 0)) / np.maximum(4 * np.pi / COLUMNS * grid.radius, STEP)
    out = -across[..., None] * grid.around - np.gradient(covered, STEP, axis=1)[..., None] * grid.down
    near = np.minimum(_NEAR_HAIRLINE * np.linalg.norm(out, axis=-1), 1) * grows * (np.abs(grid.azimuth) < _FRONT)
    out = unit_vectors(out)
    over = np.maximum((way * out).sum(-1), 0) * near
    return _tangent(way - over[..., None] * out, grid.normal)


@dataclass(frozen=True)
class Parting:
    """How hair on top is combed: away from the line x = ``offset`` (metres, to the person's left) with strength
    ``aside``, and backwards with strength ``back``. ``turn`` : metres over which it turns from one side to the other;
    0: it parts there. ``over`` : whether hair that covers the forehead is combed, too, instead of hanging down."""

    offset: float
    aside: float
    back: float
    turn: float = 0.0
    over: bool = False


def chosen_parting(name: str, place: float) -> Parting | None:
    """The parting of an option's name, ``place`` metres from the middle; None for "auto"."""
    if name == "none":
        return Parting(0.0, 0.0, 1.0, over=True)
    sides = {"left": place, "middle": 0.0, "right": -place}
    return Parting(sides[name], 1.0, _BACK[0], over=True) if name in sides else None


def find_parting(surface: HairSurface, tensor: np.ndarray, weight: np.ndarray) -> Parting:
    """The combing that agrees best with the photos' lines on top of the head, ``tensor`` (C, R, 3, 3) with ``weight``
    (C, R): of those without a parting, unless one with a parting is better by as much as hair of this length asks."""
    grid, long_ = surface.grid, _longness(surface)
    top = surface.coverage * (grid.s < _TOP) * (np.abs(grid.azimuth) < _PARTED) * grid.radius
    total, patch = max(float((top * weight).sum()), 1e-9), _PATCH / (STEP * 2 * np.pi / COLUMNS)

    @cache
    def agreement(way: Parting) -> np.ndarray:
        each = combing(surface, way)
        return top * np.einsum("crij,cri,crj->cr", tensor, each, each) / total

    def best(usual: Parting, others: Sequence[Parting], most: float = 1.0) -> Parting:
        known = agreement(usual)
        more = [agreement(way) - known for way in others]
        noise = [np.sqrt((each**2 * patch / np.maximum(grid.radius, STEP)).sum()) for each in more]
        sure = np.array([each.sum() for each in more]) - most * _DEVIATIONS * np.array(noise)
        return others[int(sure.argmax())] if sure.max() > 0 else usual

    sides = [(place, 1.0, back) for place in _PARTINGS for back in _BACK]
    swept = ((0.0, 0.0, 1.0), *((side, *lean) for side in _SIDES for lean in _LEANS), *sides)
    whole = best(Parting(0.0, 0.0, 1.0), [Parting(*way, _FAN, over) for way in swept for over in (False, True)])
    parted = best(Parting(0.0, 1.0, 0.0), [Parting(*way, 0.0, over) for way in sides for over in (False, True)])
    return best(whole, [parted], 1 - long_)


def _longness(surface: HairSurface) -> float:
    """0 for hair that ends above the ears, 1 for hair that covers what is below them."""
    grid, below = surface.grid, surface.grid.s - surface.grid.line[:, None]
    sides = (np.abs(grid.azimuth) > 1.0) & (np.abs(grid.azimuth) < 2.0) & (below > _LONG) & (below < 2 * _LONG)
    return float(np.clip(2 * (surface.coverage * sides).sum() / sides.sum() - 0.2, 0, 1))


def combing(surface: HairSurface, parting: Parting, side: float = 0.0) -> np.ndarray:
    """(COLUMNS, ROWS, 3) unit vectors: the way hair is usually combed with a parting, given where it is; with a
    ``side`` of -1 or 1, everywhere as it is to the right or left of the parting."""
    grid = surface.grid
    below = grid.s - grid.line[:, None]
    azimuth = np.broadcast_to(grid.azimuth, below.shape)
    beyond = (below > 0.008) & (below < 0.03)
    bare = 1 - (surface.coverage * beyond).sum(1) / np.maximum(beyond.sum(1), 1)
    bare = np.clip(2 * bare - 0.5 + 2 * parting.over, 0, 1)[:, None]  # whether the forehead of each column is
    back = np.broadcast_to([0.0, 0.0, -1.0], grid.points.shape)
    beside = grid.points[..., :1] - parting.offset
    side = side or (np.tanh(beside / parting.turn) if parting.turn else np.sign(beside))
    away = side * np.array([1.0, 0.0, 0.0]) + 0.4 * grid.down
    swept = parting.back * back + parting.aside * away
    front = bare[..., None] * swept + (1 - bare[..., None]) * grid.down
    turn = np.clip((_FRONT - np.abs(azimuth)) / 0.5, 0, 1) * np.clip((0.02 - below) / 0.02, 0, 1)
    aside = np.clip((0.10 - grid.s) / 0.03, 0, 1) * np.clip((1.9 - np.abs(azimuth)) / 0.5, 0, 1)
    turn = np.maximum(turn, min(parting.aside, 1.0) * aside)
    forehead = (bare[:, 0] * (np.abs(grid.azimuth[:, 0]) < 0.6)).sum() / (np.abs(grid.azimuth) < 0.6).sum()
    swings = (1 - _longness(surface)) * forehead * _SWEPT * np.clip((2.4 - np.abs(azimuth)) / 0.5, 0, 1)
    whorl = _WHORL * np.clip((np.abs(azimuth) - 1.9) / 0.5, 0, 1) * np.clip((0.14 - grid.s) / 0.05, 0, 1)
    fall = grid.down + swings[..., None] * back + whorl[..., None] * grid.around
    return _tangent(turn[..., None] * front + (1 - turn[..., None]) * fall, grid.normal)


def _combings(surface: HairSurface, parting: Parting) -> list[np.ndarray]:
    """``combing`` to the right and to the left of a parting; one for all hair without one."""
    sides = _SIDES if parting.aside > 0 and parting.turn == 0 else (0.0,)
    return [combing(surface, parting, side) for side in sides]


def styled(surface: HairSurface, style: Style, side: float) -> np.ndarray:
    """(COLUMNS, ROWS, 3) unit vectors: the way a style is combed, everywhere as to the right (``side`` -1) or left (1)
    of a parting in the middle."""
    grid = surface.grid
    top = style.radial * grid.down + np.array([style.aside * side, 0.0, style.ahead])
    hangs = np.clip((grid.s - 0.055) / 0.09, 0, 1)[..., None]
    return _tangent(unit_vectors(top) * (1 - hangs) + hangs * grid.down, grid.normal)


def _lines(surface: HairSurface, views: Sequence[HairView]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tensors (C, R, 3, 3) of the lines that photos show on the hair's outside, weighted by their clearness, and the
    weights (C, R); and how far the lines run alike (C, R), weighted by how well photos see them, and those weights."""
    grid = surface.grid
    outside = grid.points + grid.normal * surface.height[..., None]
    there = surface.coverage > 0.5
    one = np.where(grid.radius[..., None] > 1e-3, np.roll(outside, -1, 0) - np.roll(outside, 1, 0), grid.around)
    first = unit_vectors(one)
    normal = unit_vectors(np.cross(np.gradient(outside, axis=1), first))
    normal *= np.where((normal * grid.normal).sum(-1, keepdims=True) < 0, -1, 1)
    second = np.cross(normal, first)
    tensor, (total, alike, seen) = np.zeros((*there.shape, 3, 3)), np.zeros((3, *there.shape))
    triangles = _triangles(there)
    for view in views:
        towards = unit_vectors(view.camera.centre() - outside)
        square = (towards * normal).sum(-1)
        pixel = view.camera.project(outside)
        depth = np.minimum(view.depth, depth_map(outside.reshape(-1, 3), triangles, view.camera))
        before = pixel[..., 2] < looked_up(np.where(np.isfinite(depth), depth, 1e6), outside, view) + 0.008
        step = [
            (view.camera.project(outside + _PROBE * way)[..., :2] - pixel[..., :2]) / _PROBE for way in (first, second)
        ]
        double = [looked_up(view.direction[..., k] * view.hair * view.visible, outside, view) for k in (0, 1)]
        clear, angle = np.hypot(*double), 0.5 * np.arctan2(double[1], double[0])
        # the line across: pixel offsets perpendicular to the photo's line vanish along it
        a, b = (step[k][..., 1] * np.cos(angle) - step[k][..., 0] * np.sin(angle) for k in (0, 1))
        way = unit_vectors(-b[..., None] * first + a[..., None] * second)
        shown = view.trust * np.clip(square - 0.15, 0, 1) * before * there * (clear > 0)
        weight = shown * clear
        tensor += weight[..., None, None] * way[..., :, None] * way[..., None, :]
        total, seen = total + weight, seen + shown
        alike += shown * looked_up(np.broadcast_to(view.alike, view.hair.shape), outside, view)
    return tensor, total, alike, seen


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
    return unit_vectors(vectors - (vectors * normal).sum(-1, keepdims=True) * normal)


GUIDE_POINTS = 24
"""Points of a guide: 2 cm apart in hair of half a metre, which bends over shoulders within 5 cm."""
_PACE = 0.004
"""Metres of a step along the field, less than a row of its grid."""
_LONGEST = 0.6
"""Metres: hair to the waist."""
_TIGHT, _TIED, _NEAR_KNOT = 0.011, 0.017, 0.03
"""Metres: mean height on top of hair that is gathered where only other photos show it long, and where a photo shows a
bun or tail (tied hair in press photos has 14.5 to 16.9, hair swept back with ends at the neck 17.7); and distance to
the knot at which hairs join it."""
_TIE, _BUN, _TAIL, _OFF_HEAD = 18, 0.025, 0.22, 0.02
"""Row of the grid, behind, where hair is gathered if no photo shows it (11 cm from the crown); metres of its radius
and tail, and by which a tail leaves the head."""
_LEVELS = 5
"""Levels above the skin, 2 cm, in which hanging hair is looked for."""
_BLOB, _LEAST_BLOB, _THROWN, _ONE_SIDE = 0.012, 0.0006, 0.002, 0.8
"""Metres off tight hair, and square metres there, of hair that is a bun or tail, and of a tail that was thrown up
(0.0026; another person's head behind a crop has 0.001); least share of it in one blob, else it hangs at both sides."""
_PER_HEIGHT, _COMBED_LENGTH = 2.0, 0.03
"""Length of hair that does not fall over skin relative to how far it stands off the head, where it runs every way, and
metres by which combed hair is longer: hair that stands 25 mm off is not five times as long as hair that stands 5."""
_TOUSLED, _TUFT = np.radians(25.0), 0.012
"""Standard deviation of the turns of hair that runs every way, half of it shared by locks within ``_TUFT`` metres."""
_FADED = 0.6
"""Share of the way to the hair's edge that hair which does not fall over skin goes: cut hair gets shorter towards ears
and nape, and ends in no line."""
_SHORTEST, _STUBBLE = 0.02, 0.003
"""Metres: a crew cut, and hair at the edge of short hair, which fades into the skin."""
_FALLEN, _NAPE = 0.012, 0.025
"""Metres beyond the usual hairline: hair that ends there has fallen over skin, so it is as long as its way. Behind the
ears, where photos rarely show where hair ends, it must fall further by the second."""
_STEEP = 8.0
"""Greatest rise of a hair relative to its way along the head."""
_OUTER, _INNER = 1.6, 0.4
"""Hair lies outermost from 1 / ``_OUTER`` of the longest way to a place on; half of it stays as low as ``_INNER``."""
_UNDER, _STRAY = 0.5, 0.07
"""Greatest share by which hair that stands is shorter than its surroundings, and of its height by which it strays."""
_OUTERMOST, _LEAST_RISE = 0.4, 0.25
"""Share of a lock's width by which its outermost hairs stand off its guide, on the mean from root to tip; and least
share of the hair's height at which guides lie, where locks are wider than the hair is high."""
_RISEN = 0.006
"""Metres after which a hair has risen to its place among others; hair that ends on the scalp rises to its tip."""
_NECK, _LEVEL, _ROUNDED = 0.66, 0.2, 3.0
"""Metres of height below which hair stands off level: share of the hull's rise and fall that it follows there, and
columns and rows over which the way it stands off is smooth, 2 cm: where the hull turns from the neck onto shoulders and
chest, strands that follow its normal turn upwards and to the side."""
_RAGGED, _RAGGED_FALL = 0.25, 0.15
"""Share by which locks of one place differ in length at random: of hair that stays on the scalp, cut in layers, and of
the way over skin of hair that falls further."""
_JOIN, _ABOVE = 0.07, 0.06
"""Metres over which hair that no strand reaches is joined to the nearest one, and by which it leaves that one further
up."""
_DENSE, _THINNED = 0.001, 0.8
"""Metres between strands side by side from which on hair is thin (a quarter of a lock), and share of the places there
from which strands are walked back, which also fill what is above."""
_EVEN = np.array([0.7548776662466927, 0.5698402909980532])
"""Steps of the evenly spread sequence R2 in two dimensions."""
_CANDIDATES, _STANDING, _LYING, _INWARDS = 12_000, 0.004, 0.0051, 0.62
"""Places to choose roots from; least metres between those chosen, of hair that stands, some 2,000 on a head, and of
hair that lies, some 1,200, at 10 cm from the crown; and power of an even number that gives the way from the crown, near
which hair that lies is denser, as it makes the outline. The sequence alone has rows, and bare skin between them."""
_AROUND, _MEET = 6, 0.6
"""Radius of a lock, as a share of the distance to its sixth neighbour: random discs of this size cover nearly nine
tenths of the scalp."""
_NARROWEST, _NARROWER, _BEYOND = 0.003, (1, 0.7, 0.4), 0.1
"""Metres: width of the narrowest lock; widths relative to those that hide the scalp which are tried, and share of a
side of a lock that may hang where the photos show no hair."""


@dataclass(frozen=True)
class _Paths:
    """Paths of M strands on the hull: (M, T) azimuth and s, and (M,) number of points before they leave the hair."""

    azimuth: np.ndarray
    s: np.ndarray
    count: np.ndarray


def trace_guides(
    surface: HairSurface,
    field: DirectionField,
    views: Sequence[HairView],
    seed: int = 0,
    curl: Curl = CURLS[0],
    knot: Knot | None = None,
) -> np.ndarray:
    """Guides (G, GUIDE_POINTS, 3), metres, roots first, in the hair's body along its field, or straight out of the
    scalp where its ``curl`` has it stand, or all the way to a ``knot``."""
    generator = np.random.default_rng(seed)
    azimuth, s = _roots(surface, generator, curl.upright)
    if not len(azimuth):
        return np.zeros((0, GUIDE_POINTS, 3), np.float32)
    if curl.upright:
        return _ended(_upright_lines(surface, azimuth, s, generator), views)
    turn = _turns(azimuth, s, generator)
    paths = _with_unreached(surface, field, _walk(surface, field, (azimuth, s), turn))
    lengths = paths.count * _PACE if knot else _lengths(surface, field, paths)
    fallen = _over_skin(surface.grid, paths)
    loose = np.where(fallen > _FALLEN, _RAGGED_FALL * np.minimum(fallen, lengths), _RAGGED * lengths)
    lengths = lengths - loose * generator.random(len(lengths))
    guides = _ended(_lifted(surface, paths, lengths, generator), views)
    return gathered(guides, knot, generator) if knot else guides


def _roots(surface: HairSurface, generator: np.random.Generator, stands: bool) -> tuple[np.ndarray, np.ndarray]:
    """Azimuths and s of roots, spread evenly, as dense as hair grows there; everywhere alike if hair ``stands``."""
    grid = surface.grid
    place = (np.arange(_CANDIDATES)[:, None] * _EVEN + 0.5) % 1
    azimuth = (place[:, 0] - 0.5) * 2 * np.pi
    s = place[:, 1] ** _INWARDS * (np.interp(azimuth, grid.azimuth[:, 0], grid.line, period=2 * np.pi) + 0.03)
    grows = grid.at(surface.roots, azimuth, s)
    kept = np.flatnonzero(grows > (0.5 if stands else 0.25))  # of hair that stands, bald spots would show
    places = grid.at(grid.points, azimuth[kept], s[kept]) - grid.points[0, 0]
    if stands:
        kept = kept[apart(places, _STANDING)]
    else:
        kept = kept[apart(places * (10 * s[kept, None]) ** (0.5 / _INWARDS - 1), _LYING)]
        kept = kept[(grows[kept] > 0.75) | (grows[kept] > 0.25 + 0.5 * generator.random(len(kept)))]
    return azimuth[kept], s[kept]


@dataclass(frozen=True)
class Knot:
    """Where hair is gathered: ``position`` on the scalp and unit vector ``out``, (3,); ``radius`` of the bun in metres;
    ``length`` of a tail, 0 for a bun."""

    position: np.ndarray
    out: np.ndarray
    radius: float
    length: float


def find_knot(surface: HairSurface, views: Sequence[HairView], long_: bool) -> Knot | None:
    """Where a look's tight hair is gathered: at the largest blob of hair that a view shows off the head, or behind if
    other photos of the person show ``long_`` hair, or most show nothing at a large blob on top: it is a tail that was
    thrown up. None if the hair is not tight, or neither is so."""
    grid, height = surface.grid, top_height(surface)
    if height > _TIED or falls(surface):
        return None
    place, normal = grid.points[0, _TIE], grid.normal[0, _TIE]
    shell = grid.points + grid.normal * (max(height, _TIGHT) + _BLOB)
    behind = Knot(place, normal, _BUN, _TAIL)
    best = behind if long_ and height <= _TIGHT else None
    largest = _LEAST_BLOB
    for view in views:
        depth = depth_map(
            shell.reshape(-1, 3), _triangles(grid.s + 0 * grid.radius < grid.line[:, None] + _BLOB), view.camera
        )
        free = (view.hair > 0.5) & (view.visible > 0.5) & ~np.isfinite(depth) & ~np.isfinite(view.depth)
        count, _, stats, centres = cv2.connectedComponentsWithStats(free.astype(np.uint8))
        if count < 2:
            continue
        number = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        area = stats[number, cv2.CC_STAT_AREA] / view.pixels_per_metre**2
        if area < largest or stats[number, cv2.CC_STAT_AREA] < _ONE_SIDE * free.sum():
            continue
        radius = float(np.sqrt(area / np.pi))
        pixel = view.camera.project(grid.points + grid.normal * radius)[..., :2]
        usable = (np.abs(grid.azimuth) > 2.4) & (grid.s < grid.line[:, None] + 0.01) | (grid.s < 0.04)
        away = np.linalg.norm(pixel - centres[number], axis=-1) / view.pixels_per_metre
        away = away + 0.5 * np.abs(grid.points[..., 0]) + np.where(usable, 0.0, 1.0)  # mostly it is in the middle
        node = np.unravel_index(int(away.argmin()), away.shape)
        tall = stats[number, cv2.CC_STAT_HEIGHT] / view.pixels_per_metre
        knot = Knot(grid.points[node], grid.normal[node], min(radius, 0.045), tall if tall > 4 * radius else 0.0)
        spot = (knot.position + radius * knot.out)[None]
        shown = sum(float(votes(spot, other)[0]) for other in views if other is not view)
        thrown = shown < 0 and knot.position[1] > place[1]
        if not thrown or area > _THROWN:
            best, largest = behind if thrown else knot, area
    return best


def gathered(guides: np.ndarray, knot: Knot, generator: np.random.Generator) -> np.ndarray:
    """Guides (G, P, 3) that come near a knot end there, half of them in its bun or tail."""
    result = guides.copy()
    away = np.linalg.norm(guides - knot.position, axis=-1)
    down = np.array([0.0, -1.0, 0.0])
    side = unit_vectors(np.cross(knot.out, down))
    t = np.linspace(0, 1, GUIDE_POINTS)[:, None]
    for k in np.flatnonzero(away.min(1) < _NEAR_KNOT):
        line = guides[k, : max(int(away[k].argmin()), 1) + 1]
        if generator.random() < 0.5:
            offset = knot.radius * generator.normal(0, 0.25, 3)
            if knot.length:
                length = knot.length * generator.uniform(0.75, 1.0)
                out = knot.out * _OFF_HEAD * np.sin(np.pi * np.minimum(4 * t, 1) / 2)
                more = knot.position + out + length * t * (down + 0.15 * knot.out) + offset * (0.5 + 0.5 * t)
            else:
                turn = 2 * np.pi * (generator.random() + 1.2 * t)
                tilt = np.pi * (generator.random() - 0.5)
                ring = np.cos(turn) * (np.cos(tilt) * side + np.sin(tilt) * knot.out) + np.sin(turn) * down
                more = knot.position + knot.radius * (0.8 * knot.out + ring * generator.uniform(0.7, 1.0))
            line = np.concatenate([line, more])
        result[k] = points_along(line, np.linspace(0, arc_length(line)[-1], guides.shape[1]))
    return result


def top_height(surface: HairSurface) -> float:
    """Mean metres by which hair stands off the top of the head."""
    grid = surface.grid
    top = (grid.s < 0.1) * (np.abs(grid.azimuth) < 1.8) * grid.radius
    return float((surface.height * top).sum() / top.sum())


def falls(surface: HairSurface) -> bool:
    """Whether hair at the sides hangs below the ears."""
    sides = _below_ears(surface.grid)
    return bool((surface.coverage * sides).sum() > 0.5 * sides.sum())


def hangs(grid: HullGrid, told: np.ndarray) -> bool:
    """Whether the votes ``told`` (C, R, K) of one view show hair that hangs below the ears."""
    lowest = told[_below_ears(grid)][:, :_LEVELS]
    seen = (lowest != 0).any(1)
    return bool(seen.sum() > 0.1 * len(seen) and (lowest[seen].max(1) > 0.5).mean() > 0.7)


def _below_ears(grid: HullGrid) -> np.ndarray:
    """(COLUMNS, ROWS) bool: places at the sides, 5 to 8 cm below the usual hairline."""
    below = grid.s - grid.line[:, None]
    return (np.abs(np.abs(grid.azimuth) - 1.6) < 0.4) & (below > 0.05) & (below < 0.08)


def _upright_lines(
    surface: HairSurface, azimuth: np.ndarray, s: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """Lines (P, 3) straight from roots (M,) to the hair's outside, and from the nearest roots to what overhangs the
    hairline."""
    grid = surface.grid
    roots = grid.at(grid.skin, azimuth, s)
    column, row = np.nonzero((surface.coverage > 0.5) & (surface.roots < 0.5))
    away, near = cKDTree(roots).query(grid.points[column, row], distance_upper_bound=_JOIN)
    joined = away <= surface.height[column, row]  # hair overhangs as far as it stands
    ends = np.concatenate([np.stack([azimuth, s], 1),
                           np.stack([grid.azimuth[column[joined], 0], row[joined] * STEP], 1)])  # fmt: skip
    starts = np.concatenate([np.arange(len(roots)), near[joined]])
    depth = 1 - _UNDER * generator.random(len(ends)) ** 4
    height = np.maximum(grid.at(surface.height, *ends.T) * depth, 0.003)
    outside = grid.at(grid.skin, *ends.T) + height[:, None] * grid.at(grid.normal, *ends.T)
    outside += generator.normal(0, _STRAY, outside.shape) * height[:, None]
    line = np.linspace(0, 1, GUIDE_POINTS)[:, None]
    return list(roots[starts, None] * (1 - line) + outside[:, None] * line)


def _turns(azimuth: np.ndarray, s: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(M,) radians by which strands with roots at azimuths and s (M,) leave the field where it is not combed."""
    place = np.stack([s * np.sin(azimuth), s * np.cos(azimuth)], 1) / _TUFT
    wave = generator.normal(0, 1, (2, 24)), generator.random(24) * 2 * np.pi
    shared = np.sin(place @ wave[0] + wave[1]).sum(1) / np.sqrt(12)
    return _TOUSLED * np.sqrt(0.5) * (shared + generator.standard_normal(len(s)))


def _walk(
    surface: HairSurface,
    field: DirectionField,
    start: tuple[np.ndarray, np.ndarray],
    turn: np.ndarray,
    rooted: np.ndarray | None = None,
) -> _Paths:
    """Walk from places (azimuth, s), (M,) each, along the field while there is hair; or against it, as far as the
    parting, and by ``rooted`` (M,) metres into where hair grows.

    turn : (M,) radians by which each strand leaves the field where hair is not combed at all.
    """
    grid, (azimuth, s) = surface.grid, start
    steps = int(_LONGEST / _PACE)
    azimuths, rows = np.zeros((2, len(s), steps + 1))
    azimuths[:, 0], rows[:, 0] = azimuth, s
    count = np.ones(len(s), int)
    spin = np.where(grid.s > 0, grid.s / np.maximum(grid.radius, 0.05 * np.maximum(grid.s, 1e-4)), 1.0)
    back, left = rooted is not None, np.zeros(len(s)) if rooted is None else rooted.copy()
    side, x = field.side(grid.at(grid.points, azimuth, s)), grid.points[..., 0] - field.parting
    for number, each in enumerate(field.directions):
        walking = np.flatnonzero(side == number)
        down, around = ((each * axis).sum(-1) for axis in (grid.down, grid.around))
        maps = np.stack([down, around, spin, 1 - field.combed, surface.coverage, surface.roots, x], -1)
        here = grid.at(maps, azimuth[walking], s[walking])
        for step in range(1, steps + 1):
            if not len(walking):
                break
            angle = turn[walking] * here[:, 3]
            size = (-_PACE if back else _PACE) / np.maximum(np.hypot(here[:, 0], here[:, 1]), 1e-6)
            ahead = size * (here[:, 0] * np.cos(angle) - here[:, 1] * np.sin(angle))
            aside = size * (here[:, 0] * np.sin(angle) + here[:, 1] * np.cos(angle)) * here[:, 2]
            a, d = azimuths[walking, step - 1], rows[walking, step - 1]
            u, v = (d + ahead) * np.sin(a) + aside * np.cos(a), (d + ahead) * np.cos(a) - aside * np.sin(a)
            a, d = np.arctan2(u, v), np.hypot(u, v)
            azimuths[walking, step], rows[walking, step] = a, d
            here = grid.at(maps, a, d)
            inside = (here[:, 4] > 0.5) & (d < (ROWS - 2) * STEP)
            if back:
                left[walking] -= _PACE * (here[:, 5] > 0.5)
                inside &= (left[walking] > 0) & ((number == (here[:, 6] > 0)) | (len(field.directions) == 1))
            walking, here = walking[inside], here[inside]
            count[walking] = step + 1
    return _Paths(azimuths, rows, count)


def _cells(azimuth: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the grid's nodes nearest to places."""
    column = np.round((azimuth / (2 * np.pi) + 0.5) * COLUMNS).astype(int) % COLUMNS
    return column, np.clip(np.round(s / STEP).astype(int), 0, ROWS - 1)


def _path_mask(paths: _Paths) -> np.ndarray:
    """(M, T) bool which points of the paths are hair."""
    return np.arange(paths.s.shape[1]) < paths.count[:, None]


def _with_unreached(surface: HairSurface, field: DirectionField, paths: _Paths) -> _Paths:
    """The paths, and for hair that none comes near, or few where they spread, paths that were walked back from there to
    the scalp, or to the nearest strand that comes from it."""
    grid, shown = surface.grid, _path_mask(paths)
    reached = np.zeros((COLUMNS, ROWS))
    np.add.at(reached, _cells(paths.azimuth[shown], paths.s[shown]), _PACE / STEP)
    number = np.maximum(uniform_filter(reached, (3, 5), mode=("wrap", "nearest")), 1e-6)
    beside = 2 * np.pi / COLUMNS * grid.radius / number
    thin = _THINNED * (1 - _DENSE / np.maximum(beside, _DENSE))
    thin[maximum_filter(reached, (1, 5), mode=("wrap", "nearest")) == 0] = 1
    even = np.add.outer(np.arange(COLUMNS) * _EVEN[0], np.arange(ROWS) * _EVEN[1]) % 1
    column, row = np.nonzero((surface.coverage > 0.5) & (surface.roots < 0.5) & (even < thin))
    if not len(column):
        return paths
    deep = _ABOVE * (even / np.maximum(thin, 1e-6))[column, row]
    back = _walk(surface, field, (grid.azimuth[column, 0], row * STEP), np.zeros(len(column)), deep)
    strand, step = np.nonzero(shown)
    a, s = paths.azimuth[shown], paths.s[shown]
    lines = [np.stack([back.azimuth[k, :count], back.s[k, :count]], 1)[::-1] for k, count in enumerate(back.count)]
    azimuth, end = np.array([line[0] for line in lines]).T
    grows, fallen = grid.at(surface.roots, azimuth, end) > 0.5, _over_skin(grid, back) > _FALLEN
    place = grid.at(grid.points, azimuth, np.maximum(end - _ABOVE, 0))
    away, near = cKDTree(grid.at(grid.points, a, s)).query(place, distance_upper_bound=_JOIN)
    added = [lines[k] for k in np.flatnonzero(grows)]
    for k in np.flatnonzero(np.isfinite(away) & fallen & ~grows):
        first = step[near[k]] + 1
        joint = max(1, round((away[k] + _ABOVE) / _PACE))
        share = np.arange(1, joint)[:, None] / joint
        strand_part = np.stack([paths.azimuth[strand[near[k]], :first], paths.s[strand[near[k]], :first]], 1)
        turn = lines[k][0] - strand_part[-1]
        turn[0] = (turn[0] + np.pi) % (2 * np.pi) - np.pi
        added.append(np.concatenate([strand_part, strand_part[-1] + share * turn, lines[k]])[: paths.s.shape[1]])
    count = np.array([len(each) for each in added], int)
    both = np.zeros((2, len(added), paths.s.shape[1]))
    for row_, each in enumerate(added):
        both[:, row_, : len(each)] = each.T
    return _Paths(
        np.concatenate([paths.azimuth, both[0]]),
        np.concatenate([paths.s, both[1]]),
        np.concatenate([paths.count, count]),
    )


def _lengths(surface: HairSurface, field: DirectionField, paths: _Paths) -> np.ndarray:
    """(M,) metres of each strand: its whole way if it falls over skin, else in proportion to the hair's height."""
    grid, way = surface.grid, (paths.count - 1) * _PACE
    usual = gaussian_filter(surface.height, 2.0, mode=("wrap", "nearest"))
    root = paths.azimuth[:, 0], paths.s[:, 0]
    short = _PER_HEIGHT * grid.at(usual, *root) + _COMBED_LENGTH * grid.at(field.combed, *root)
    short = np.maximum(short, _SHORTEST)
    return np.where(_over_skin(grid, paths) > _FALLEN, way, np.minimum(_FADED * way + _STUBBLE, short))


def _over_skin(grid: HullGrid, paths: _Paths) -> np.ndarray:
    """(M,) metres below the usual hairline, behind the ears below the nape, at which paths end; negative where they end
    on the scalp."""
    last, line = (np.arange(len(paths.count)), paths.count - 1), grid.line + _NAPE * grid.behind[:, 0]
    return paths.s[last] - np.interp(paths.azimuth[last], grid.azimuth[:, 0], line, period=2 * np.pi)


def _lifted(
    surface: HairSurface, paths: _Paths, lengths: np.ndarray, generator: np.random.Generator
) -> list[np.ndarray]:
    """Lines (K, 3) of M paths cut to ``lengths`` (M,): at each place, hair that comes from further away lies over the
    other."""
    grid = surface.grid
    whole = paths
    count = np.minimum(paths.count, 1 + np.ceil(np.maximum(lengths, _PACE) / _PACE).astype(int))
    paths = _Paths(paths.azimuth, paths.s, count)
    shown = _path_mask(paths)
    travelled = np.broadcast_to(np.arange(paths.s.shape[1]) * _PACE, paths.s.shape)
    farthest = np.full((COLUMNS, ROWS), _PACE)
    np.maximum.at(farthest, _cells(paths.azimuth[shown], paths.s[shown]), travelled[shown])
    farthest = maximum_filter(farthest, (3, 3), mode=("wrap", "nearest"))
    farthest = gaussian_filter(farthest, 1.0, mode=("wrap", "nearest"))
    a, s, t = paths.azimuth[shown], paths.s[shown], travelled[shown]
    height = grid.at(surface.height, a, s)
    most = np.minimum(1, _INNER + (1 + _INNER) * generator.random(len(count)))
    falls_over = _over_skin(grid, whole) > _FALLEN
    rising = np.where(falls_over, _RISEN, np.maximum(lengths, _RISEN))
    risen = np.minimum(grid.at(farthest, a, s) / _OUTER, np.repeat(rising, count))
    share = np.repeat(most, count) * np.sqrt(np.clip(t / risen, 0, 1))
    radius = np.repeat(_OUTERMOST * _meeting(grid.at(grid.points, paths.azimuth[:, 0], paths.s[:, 0])), count)
    rise = np.minimum(share * np.maximum(height - radius, _LEAST_RISE * height), _STEEP * t)
    ground = np.where(np.repeat(falls_over, count)[:, None], grid.at(grid.points, a, s), grid.at(grid.skin, a, s))
    place = ground + rise[:, None] * unit_vectors(grid.at(_off(grid), a, s))
    return [place[first:stop] for first, stop in itertools.pairwise(np.r_[0, np.cumsum(count)])]


def _off(grid: HullGrid) -> np.ndarray:
    """(C, R, 3) unit vectors along which hair stands off the hull: its normal, and nearly level below the neck."""
    hangs = np.clip((_NECK - grid.points[..., 1:2]) / _LONG, 0, 1)
    level = unit_vectors(grid.normal * [1.0, _LEVEL, 1.0])
    level = gaussian_filter(level, (_ROUNDED, _ROUNDED, 0), mode=("wrap", "nearest", "nearest"))
    return unit_vectors((1 - hangs) * grid.normal + hangs * level)


def _ended(lines: Sequence[np.ndarray], views: Sequence[HairView]) -> np.ndarray:
    """Guides (G, GUIDE_POINTS, 3) of lines (P, 3) that end where the views' votes turn against them."""
    place = np.concatenate(lines)
    told = sum((votes(place, view) * view.trust for view in views), np.full(len(place), 1e-3))
    guides, first = [], 0
    for line in lines:
        total = np.cumsum(told[first : first + len(line)])
        first += len(line)
        line = line[: max(int(total.argmax()) + 1 if total.max() > 0 else 4, 3)]
        if len(line) > 1:
            guides.append(points_along(line, np.linspace(0, arc_length(line)[-1], GUIDE_POINTS)))
    return np.array(guides, np.float32).reshape(-1, GUIDE_POINTS, 3)


def lock_widths(guides: np.ndarray, views: Sequence[HairView], style: Style | None = None) -> np.ndarray:
    """(G,) float32 widths in metres of the locks of guides (G, P, 3): wide enough to hide the scalp between their
    roots, narrower where a side of a lock would hang before the face or stand out of the hair that the views show.
    Ropes always keep their style's width and stand apart."""
    if style is not None and style.rope:
        return np.full(len(guides), style.rope, np.float32)
    meeting, whole = _meeting(guides[:, 0]), guides.astype(np.float64)
    normals = unit_vectors(guides[:, 0] - guides[:, 0].mean(0))
    width, narrow = meeting, np.ones(len(guides), bool)
    for share in _NARROWER:
        if not narrow.any():
            break
        width = np.where(narrow, np.maximum(share * meeting, _NARROWEST), width)
        edges = lock_edges(whole, width, normals, count=4)[narrow]
        edges = edges[:, :, : -guides.shape[1] // 6 : 3]  # tips hang out of the hair's border
        told = sum((votes(edges, view) * view.trust for view in views), np.zeros(edges.shape[:-1]))
        own = told[:, :1] > 0
        beyond = ((told < 0) & own)[:, 1:].sum(2) / np.maximum(own.sum(2), 1)
        narrow[narrow] = (beyond.max(1) > _BEYOND) | (told[:, 0].max(1) < 0)  # the latter are outside hair as a whole
    return np.where(narrow, _NARROWEST, width).astype(np.float32)


def _meeting(roots: np.ndarray) -> np.ndarray:
    """(G,) widths of locks with roots (G, 3) that hide the scalp between them."""
    if len(roots) <= _AROUND:
        return np.full(len(roots), _NARROWEST)
    reach = cKDTree(roots).query(roots, k=_AROUND + 1)[0][:, -1]
    return np.clip(2 * _MEET * reach, _NARROWEST, 0.02)
