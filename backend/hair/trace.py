"""Trace guides through the hair's body: from the roots along the direction field, and back from hair that no root
reached."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

from backend.geometry.vectors import arc_length, points_along
from backend.hair.directions import DirectionField
from backend.hair.hair_strands import MOST_POINTS
from backend.hair.hair_surface import COLUMNS, ROWS, STEP, HairSurface
from backend.hair.hair_views import HairView, votes
from backend.hair.styles import Style

ROOTS = 1500
"""Roots over the whole area that may have hair, 6 mm apart, half a lock."""
GUIDE_POINTS = 24
"""Points of a guide: 2 cm apart in hair of half a metre, which bends over shoulders within 5 cm."""
_PACE = 0.004
"""Metres of a step along the field, less than a row of its grid."""
_LONGEST = 0.6
"""Metres: hair to the waist."""
_PER_HEIGHT = (1.5, 5.0)
"""Length of hair relative to how far it stands off the head where it does not fall over skin: that of hair which runs
every way, and of combed hair."""
_TOUSLED, _TUFT = np.radians(25.0), 0.012
"""Standard deviation of the turns of hair that runs every way, half of it shared by locks within ``_TUFT`` metres."""
_FADED = 0.6
"""Share of the way to the hair's edge that hair which does not fall over skin goes: cut hair gets shorter towards ears
and nape, and ends in no line."""
_SHORTEST = 0.02
"""Metres: a crew cut."""
_FALLEN = 0.012
"""Metres beyond the usual hairline: hair that ends there has fallen over skin, so it is as long as its way."""
_STEEP = 3.0
"""Greatest rise of a hair relative to its way along the head."""
_OUTER, _INNER = 1.6, 0.4
"""Hair lies outermost from 1 / ``_OUTER`` of the longest way to a place on; half of it stays as low as ``_INNER``."""
_LOCK = 0.003
"""Metres by which a lock's outermost hairs stand off its guide."""
_RISEN = 0.015
"""Metres after which a hair has risen to its place among others."""
_RAGGED = 0.12
"""Share by which locks of one place differ in length at random."""
_JOIN, _ABOVE = 0.07, 0.06
"""Metres over which hair that no strand reaches is joined to the nearest one, and by which it leaves that one further
up."""
_AROUND, _MEET = 6, 0.6
"""Radius of a lock, as a share of the distance to its sixth neighbour: random discs of this size cover nearly nine
tenths of the scalp."""
_EDGE, _EDGE_WIDTH = 0.5, 0.004
"""Share of the distance to the sixth neighbour: a root whose neighbours' mean is further away is at the hair's edge,
where its lock is at most ``_EDGE_WIDTH`` metres wide."""
_ROPES = 0.2
"""Locks that taper by a smaller share of their width are ropes (dreadlocks: 0 to 0.15; all other styles: at least 0.3).
"""
_STRAIGHT = 0.002
"""Metres: waves of a smaller amplitude are ignored; a lock is four times as wide."""
_PER_WAVE = 6
"""Points per wave: four represent it, six make it round."""
_ANY_SIDE = np.array([1e-4, 0.0, 3e-5])
"""Metres: arbitrary side for strands that run straight away from the head; about a hair's width."""


@dataclass(frozen=True)
class _Paths:
    """Paths of M strands on the hull: (M, T) azimuth and s, and (M,) number of points before they leave the hair."""

    azimuth: np.ndarray
    s: np.ndarray
    count: np.ndarray


def trace_guides(surface: HairSurface, field: DirectionField, views: Sequence[HairView], seed: int = 0) -> np.ndarray:
    """Guides (G, GUIDE_POINTS, 3), metres, roots first, in the hair's body along its field."""
    generator = np.random.default_rng(seed)
    azimuth, s = _roots(surface, generator)
    if not len(azimuth):
        return np.zeros((0, GUIDE_POINTS, 3), np.float32)
    turn = _turns(azimuth, s, generator)
    paths = _with_unreached(surface, field, _walk(surface, field, (azimuth, s), turn))
    lengths = _lengths(surface, field, paths) * (1 - _RAGGED * generator.random(len(paths.count)))
    return _lifted(surface, paths, lengths, views, generator)


def _roots(surface: HairSurface, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Azimuths and s of roots, spread evenly, as dense as hair grows there."""
    grid = surface.grid
    place = (np.arange(ROOTS)[:, None] * [0.7548776662466927, 0.5698402909980532] + 0.5) % 1
    azimuth = (place[:, 0] - 0.5) * 2 * np.pi
    s = place[:, 1] ** 0.62 * (np.interp(azimuth, grid.azimuth[:, 0], grid.line, period=2 * np.pi) + 0.03)
    grows = grid.at(surface.roots, azimuth, s)
    kept = grows > 0.25 + 0.5 * generator.random(ROOTS) * (grows < 0.75)
    return azimuth[kept], s[kept]


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
    way: float = 1.0,
) -> _Paths:
    """Walk from places (azimuth, s), (M,) each, along the field (``way`` 1) or against it (-1) while there is hair.

    turn : (M,) radians by which each strand leaves the field where hair is not combed at all.
    """
    grid, (azimuth, s) = surface.grid, start
    steps = int(_LONGEST / _PACE)
    azimuths, rows = np.zeros((2, len(s), steps + 1))
    azimuths[:, 0], rows[:, 0] = azimuth, s
    count, walking = np.ones(len(s), int), np.arange(len(s))
    down, around = ((field.way * each).sum(-1) for each in (grid.down, grid.around))
    spin = np.where(grid.s > 0, grid.s / np.maximum(grid.radius, 0.05 * np.maximum(grid.s, 1e-4)), 1.0)
    maps = np.stack([down, around, spin, 1 - field.combed, surface.there, surface.roots], -1)
    here = grid.at(maps, azimuth, s)
    for step in range(1, steps + 1):
        angle = turn[walking] * here[:, 3]
        size = way * _PACE / np.maximum(np.hypot(here[:, 0], here[:, 1]), 1e-6)
        ahead = size * (here[:, 0] * np.cos(angle) - here[:, 1] * np.sin(angle))
        aside = size * (here[:, 0] * np.sin(angle) + here[:, 1] * np.cos(angle)) * here[:, 2]
        a, d = azimuths[walking, step - 1], rows[walking, step - 1]
        u, v = (d + ahead) * np.sin(a) + aside * np.cos(a), (d + ahead) * np.cos(a) - aside * np.sin(a)
        a, d = np.arctan2(u, v), np.hypot(u, v)
        azimuths[walking, step], rows[walking, step] = a, d
        at_root = here[:, 5] > 0.5
        here = grid.at(maps, a, d)
        inside = (here[:, 4] > 0.5) & (d < (ROWS - 2) * STEP)
        if way < 0:
            inside &= ~at_root
        walking, here = walking[inside], here[inside]
        count[walking] = step + 1
        if not len(walking):
            break
    return _Paths(azimuths, rows, count)


def _cells(azimuth: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the grid's nodes nearest to places."""
    column = np.round((azimuth / (2 * np.pi) + 0.5) * COLUMNS).astype(int) % COLUMNS
    return column, np.clip(np.round(s / STEP).astype(int), 0, ROWS - 1)


def _shown(paths: _Paths) -> np.ndarray:
    """(M, T) bool which points of the paths are hair."""
    return np.arange(paths.s.shape[1]) < paths.count[:, None]


def _with_unreached(surface: HairSurface, field: DirectionField, paths: _Paths) -> _Paths:
    """The paths, and for hair that none comes near, paths that were walked back from there to the scalp, or to the
    nearest strand that comes from it."""
    grid, shown = surface.grid, _shown(paths)
    reached = np.zeros((COLUMNS, ROWS))
    reached[_cells(paths.azimuth[shown], paths.s[shown])] = 1
    reached = maximum_filter(reached, (1, 5), mode=("wrap", "nearest"))
    column, row = np.nonzero((surface.there > 0.5) & (surface.roots < 0.5) & (reached < 0.5))
    if not len(column):
        return paths
    back = _walk(surface, field, (grid.azimuth[column, 0], row * STEP), np.zeros(len(column)), -1.0)
    strand, step = np.nonzero(shown)
    a, s = paths.azimuth[shown], paths.s[shown]
    index = np.arange(len(column))
    end = back.azimuth[index, back.count - 1], np.maximum(back.s[index, back.count - 1] - _ABOVE, 0)
    away, near = cKDTree(grid.at(grid.place, a, s)).query(grid.at(grid.place, *end), distance_upper_bound=_JOIN)
    added = []
    for k in np.flatnonzero(np.isfinite(away)):
        first = step[near[k]] + 1
        joint = max(1, round((away[k] + _ABOVE) / _PACE))
        share = np.arange(1, joint)[:, None] / joint
        strand_part = np.stack([paths.azimuth[strand[near[k]], :first], paths.s[strand[near[k]], :first]], 1)
        back_part = np.stack([back.azimuth[k, : back.count[k]], back.s[k, : back.count[k]]], 1)[::-1]
        turn = np.array(
            [(back_part[0, 0] - strand_part[-1, 0] + np.pi) % (2 * np.pi) - np.pi, back_part[0, 1] - strand_part[-1, 1]]
        )
        added.append(np.concatenate([strand_part, strand_part[-1] + share * turn, back_part])[: paths.s.shape[1]])
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
    grid, index = surface.grid, np.arange(len(paths.count))
    last = paths.count - 1
    way = last * _PACE
    a, s = paths.azimuth[index, last], paths.s[index, last]
    fallen = s - np.interp(a, grid.azimuth[:, 0], grid.line, period=2 * np.pi) > _FALLEN
    usual = gaussian_filter(surface.height, 2.0, mode=("wrap", "nearest"))
    root = paths.azimuth[:, 0], paths.s[:, 0]
    low, high = _PER_HEIGHT
    short = (low + (high - low) * grid.at(field.combed, *root)) * grid.at(usual, *root)
    short = np.maximum(short, _SHORTEST)
    return np.where(fallen, way, np.minimum(_FADED * way + _SHORTEST * (1 - _FADED), short))


def _lifted(
    surface: HairSurface, paths: _Paths, lengths: np.ndarray, views: Sequence[HairView], generator: np.random.Generator
) -> np.ndarray:
    """Guides (G, GUIDE_POINTS, 3) of paths cut to ``lengths`` (M,): at each place, hair that comes from further away
    lies over the other."""
    grid = surface.grid
    count = np.minimum(paths.count, 1 + np.ceil(np.maximum(lengths, _PACE) / _PACE).astype(int))
    paths = _Paths(paths.azimuth, paths.s, count)
    shown = _shown(paths)
    travelled = np.broadcast_to(np.arange(paths.s.shape[1]) * _PACE, paths.s.shape)
    farthest = np.full((COLUMNS, ROWS), _PACE)
    np.maximum.at(farthest, _cells(paths.azimuth[shown], paths.s[shown]), travelled[shown])
    farthest = maximum_filter(farthest, (3, 3), mode=("wrap", "nearest"))
    farthest = gaussian_filter(farthest, 1.0, mode=("wrap", "nearest"))
    a, s, t = paths.azimuth[shown], paths.s[shown], travelled[shown]
    height = grid.at(surface.height, a, s)
    most = np.minimum(1, _INNER + (1 + _INNER) * generator.random(len(count)))
    share = np.repeat(most, count) * np.sqrt(np.clip(t / np.minimum(grid.at(farthest, a, s) / _OUTER, _RISEN), 0, 1))
    rise = np.minimum(share * np.maximum(height - _LOCK, 0.5 * height), _STEEP * t)
    place = grid.at(grid.place, a, s) + rise[:, None] * grid.at(grid.normal, a, s)
    told = sum((votes(place, view) * view.trust for view in views), np.full(len(place), 1e-3))
    starts = np.concatenate([[0], np.cumsum(count)])
    guides = []
    for first, stop in itertools.pairwise(starts):
        total = np.cumsum(told[first:stop])
        end = first + int(total.argmax()) + 1 if total.max() > 0 else first + 4
        line = place[first : min(max(end, first + 3), stop)]
        if len(line) > 2:
            guides.append(points_along(line, np.linspace(0, arc_length(line)[-1], GUIDE_POINTS)))
    return np.array(guides, np.float32).reshape(-1, GUIDE_POINTS, 3)


def lock_widths(roots: np.ndarray, style: Style | None = None) -> np.ndarray:
    """(G,) float32 widths in metres of the locks of guides with roots (G, 3): wide enough to hide the scalp between
    them, narrower at the hair's edge, so that they do not grow beyond it. Ropes always keep their style's width and
    stand apart."""
    if style is not None and 0.5 * sum(style.taper) < _ROPES:
        return np.full(len(roots), 0.5 * sum(style.width), np.float32)
    if len(roots) <= _AROUND:
        return np.full(len(roots), _EDGE_WIDTH, np.float32)
    distance, near = cKDTree(roots).query(roots, k=_AROUND + 1)
    reach = distance[:, -1]
    edge = np.linalg.norm(roots[near[:, 1:]].mean(1) - roots, axis=1) > _EDGE * reach
    width = np.clip(2 * _MEET * reach, 0.003, 0.02)
    return np.where(edge, np.minimum(width, _EDGE_WIDTH), width).astype(np.float32)


def curled(guides: np.ndarray, style: Style, seed: int = 0) -> np.ndarray:
    """Guides (G, P, 3) with a style's waves added, metres; resampled to the points that these need, at most
    ``MOST_POINTS``."""
    amplitude, wave, wild = (0.5 * sum(span) for span in (style.curl, style.wave, style.wild))
    if amplitude + wild < _STRAIGHT:
        return guides
    points = resampled_to(
        guides, min(MOST_POINTS, int(np.ceil(_PER_WAVE * _length(guides).max() / wave)) + GUIDE_POINTS)
    )
    along = np.concatenate([np.zeros((len(points), 1)), np.cumsum(_steps(points), 1)], 1)
    tangent = np.gradient(points, axis=1)
    out = points - points[:, :1].mean(0) + _ANY_SIDE
    side = np.cross(out, tangent)
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    up = np.cross(tangent, side)
    up /= np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    generator = np.random.default_rng(seed)
    phase = 2 * np.pi * generator.random((len(points), 1)) + 2 * np.pi * along / wave
    swing = np.clip(along / wave, 0, 1) * amplitude
    odd = np.clip(along / wave, 0, 1) * wild * np.sin(2.7 * phase + 31 * generator.random((len(points), 1)))
    return points + side * (swing * np.sin(phase) + odd)[..., None] + up * (0.6 * swing * np.cos(phase))[..., None]


def resampled_to(lines: np.ndarray, count: int) -> np.ndarray:
    """Lines (G, P, 3) resampled to ``count`` points each, by linear interpolation."""
    place = np.linspace(0, lines.shape[1] - 1, count)
    low = np.minimum(place.astype(int), lines.shape[1] - 2)
    t = (place - low)[:, None]
    return lines[:, low] * (1 - t) + lines[:, low + 1] * t


def _steps(lines: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(lines, axis=1), axis=-1)


def _length(lines: np.ndarray) -> np.ndarray:
    return _steps(lines).sum(1)
