"""The hair's body: where on and below the head the photos show hair, where it grows, and how far it stands off.

All are maps on the hull's coordinates (``hull``), azimuth and arc length from the crown. What no photo shows comes from
the other side and, by a smooth solve, from the surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from scipy.ndimage import distance_transform_edt, gaussian_filter1d
from scipy.spatial import cKDTree

from backend.geometry.surface_fields import solve_symmetric
from backend.geometry.template import Template
from backend.geometry.vectors import unit_vectors
from backend.hair.hair_views import HairView, looked_up, votes
from backend.hair.hull import head_hull, hull_surface

COLUMNS, ROWS, STEP = 96, 80, 0.00625
"""Columns round the head, and rows of ``STEP`` metres from the crown down: half a metre, half a lock apart."""
LEVELS, RISE = 28, 0.004
"""Heights above the hull at which photos are asked, and metres between them: 11 cm, the fullest hair."""
_MIRROR = 0.3
"""Weight of what a photo shows at a place's mirror image: sides of one person's hair correlate by 0.93."""
_SKIN_LEVELS = 3
"""Levels above the skin that say whether there is hair: 12 mm."""
_USUAL, _USUAL_WEIGHT = 0.014, (0.01, 0.1)
"""Metres of hair where nothing else is known, and its weight, in general and behind, relative to a photo that looks
along the surface."""
_FEW = 1.0
"""Places that photos show which count as much as what is usual: heights at the sides, bare scalp on top."""
_SPREAD = 0.012
"""Metres over which maps are smooth where photos tell: a lock."""
_FADE, _ENDS = 0.05, 0.015
"""Metres below the usual hairline from which hair has fallen over skin, and the weight of its end there relative to a
photo: it goes on for some 6 cm below a photo's border."""
_BEHIND = 0.1
"""Weight of the usual hairline at the nape, which few photos show, and under a hat, relative to a photo."""
_SIDES = (1.75, 0.4)
"""Azimuth of the sides and reach about it, radians: from the ears backwards."""
_ALONG = 0.3
"""Cosine between hull and view up to which a photo shows how far hair stands off; beyond, it only bounds it."""
_CUT = 4.0
"""Weight of hair's least height where a photo's border cuts it, relative to a height that a photo shows."""
_ROUND = 0.085
"""Metres: radius of a head. What stands out beside a place that a photo sees at a slant is the hair a bit further round
the head, and seems higher there by the sphere's curvature."""
_EDGE, _TAPER, _FACE = 0.2, (0.04, 0.06), (1.3, 0.32)
"""Share of the height at the hair's edge, and metres from there to full height, in front and elsewhere; azimuth and s
of the face, beside which hair is thin even where it has fallen."""
_NO_ROOTS, _TEMPLE = (0.008, 0.03), (1.0, 0.35)
"""Metres beyond the usual hairline where roots may still be, in general and at temples and sideburns, and azimuth and
width of these in radians: what is further out has fallen over skin."""
_SQUARE = 0.25
"""Least cosine at which a photo tells roots from skin; below, a pixel covers a centimetre."""
_NEAR = 3
"""Vertices whose mean is the skin below a place."""
_HIGHEST, _CROWN, _BALD = (0.6, 0.09), (0.055, 0.085), 0.3
"""Azimuth and s, metres, of the highest scalp in front; s up to which the crown is as bald as that and from which it
has a ring again; and the weight of that, relative to a photo."""
_BENT, _BESIDE_FACE, _ARCH = 0.3, (0.85, 1.0), 0.5
"""Radians round the head over which the border of short hair keeps its distance from the usual hairline; azimuths from
the forehead, whose hairline photos show, to the sideburns; and share of the way up to its place that hair above the ear
moves, whose tips hang over it."""
_EAR_LEVELS, _AT_EAR, _LOBE = 6, 0.008, 0.08
"""Levels above the hull, 24 mm, within which ears lie; metres in depth between a place at an ear and the head; and
below the usual hairline, under the lobe, of hair that falls behind the ear."""


@dataclass(frozen=True)
class HullGrid:
    """The hull of one head as a grid. ``points``, ``normal``, ``down``, ``around`` : (COLUMNS, ROWS, 3), metres and
    unit vectors; ``radius`` : (COLUMNS, ROWS) metres per radian round the head. ``line`` : (COLUMNS,) s of the usual
    hairline. ``skin`` : (COLUMNS, ROWS, 3) the skin below ``points``, on which short hair lies: at the nape the hull
    hangs down before the neck."""

    points: np.ndarray
    normal: np.ndarray
    down: np.ndarray
    around: np.ndarray
    radius: np.ndarray
    line: np.ndarray
    skin: np.ndarray

    @property
    def azimuth(self) -> np.ndarray:
        """(COLUMNS, 1) azimuths of the columns."""
        return ((np.arange(COLUMNS) / COLUMNS - 0.5) * 2 * np.pi)[:, None]

    @property
    def behind(self) -> np.ndarray:
        """(COLUMNS, 1) 0 before the ears' back edge (92 degrees from the front) to 1 behind them."""
        return np.clip((np.abs(self.azimuth) - 1.6) / 0.4, 0, 1)

    @property
    def beside_face(self) -> np.ndarray:
        """(COLUMNS, 1) 0 over the forehead to 1 from the sideburns on."""
        return np.clip((np.abs(self.azimuth) - _BESIDE_FACE[0]) / (_BESIDE_FACE[1] - _BESIDE_FACE[0]), 0, 1)

    @property
    def s(self) -> np.ndarray:
        """(1, ROWS) metres from the crown."""
        return (np.arange(ROWS) * STEP)[None]

    @cached_property
    def stiffness(self) -> sparse.csc_matrix:
        """Graph Laplacian of the grid, (N, N), N = COLUMNS * ROWS, without unit."""
        index = np.arange(COLUMNS * ROWS).reshape(COLUMNS, ROWS)
        wide = np.maximum(self.radius * (2 * np.pi / COLUMNS), 0.25 * STEP)
        across = (index.ravel(), np.roll(index, -1, 0).ravel(), (STEP / wide).ravel())
        along = (index[:, :-1].ravel(), index[:, 1:].ravel(), (wide / STEP)[:, :-1].ravel())
        one, other, weight = (np.concatenate(pair) for pair in zip(across, along, strict=True))
        shape = (index.size, index.size)
        links = sparse.coo_matrix((weight, (one, other)), shape)
        links = links + links.T
        return (sparse.diags(np.asarray(links.sum(1)).ravel()) - links).tocsc()

    def filled(self, values: np.ndarray, weight: np.ndarray, spread: float = _SPREAD) -> np.ndarray:
        """``values`` (COLUMNS, ROWS, ...) where their ``weight`` (COLUMNS, ROWS) is great, and smooth between: the
        minimum of the weighted squared differences plus ``spread`` squared (in grid steps) times the gradient's."""
        flat = weight.reshape(-1)
        system = sparse.diags(flat + 1e-7) + (spread / STEP) ** 2 * self.stiffness
        right = flat[:, None] * values.reshape(len(flat), -1)
        return solve_symmetric(system, right).reshape(values.shape)

    def at(self, values: np.ndarray, azimuth: np.ndarray, s: np.ndarray) -> np.ndarray:
        """``values`` (COLUMNS, ROWS[, C]) interpolated at azimuths and s (M,): (M[, C])."""
        column, row = (azimuth / (2 * np.pi) + 0.5) * COLUMNS, np.clip(s / STEP, 0, ROWS - 1.001)
        low, upper = np.floor(column).astype(int), row.astype(int)
        across, down = column - low, row - upper
        if values.ndim == 3:
            across, down = across[:, None], down[:, None]
        one, other = low % COLUMNS, (low + 1) % COLUMNS
        above = values[one, upper] * (1 - across) + values[other, upper] * across
        below = values[one, upper + 1] * (1 - across) + values[other, upper + 1] * across
        return above * (1 - down) + below * down


@dataclass(frozen=True)
class HairSurface:
    """The hair's body on ``grid``; maps are (COLUMNS, ROWS).

    ``coverage`` : 0 to 1, hair covers this place. ``roots`` : 0 to 1, hair grows here. ``height`` : metres from the
    hull to the outermost hair. ``confidence`` : 0 to 1, how surely photos show ``coverage``.
    """

    grid: HullGrid
    coverage: np.ndarray
    roots: np.ndarray
    height: np.ndarray
    confidence: np.ndarray


def hull_grid(template: Template, neutral: np.ndarray, line: np.ndarray | None = None) -> HullGrid:
    """The grid on the hull of a head with vertices ``neutral`` (V, 3). line : (A,) s of its hairline on
    ``hull.azimuths()``; None: the usual one."""
    hull = head_hull(template)
    head = torch.from_numpy(neutral[: template.head.vertex_stop]).float()[None]
    surface = hull_surface(hull, head, torch.zeros(1))
    azimuth = (np.arange(COLUMNS) / COLUMNS - 0.5) * 2 * np.pi
    a, s = np.meshgrid(azimuth, np.arange(ROWS) * STEP, indexing="ij")
    place, normal = (
        each[0].double().numpy() for each in surface.sample(*(torch.from_numpy(x).float()[None] for x in (a, s)))
    )
    turn = (np.roll(place, -1, 0) - np.roll(place, 1, 0)) / (4 * np.pi / COLUMNS)
    radius = np.linalg.norm(turn, axis=-1)
    down = np.gradient(place, axis=1)
    sin, cos = np.sin(azimuth), np.cos(azimuth)
    flat = np.stack([cos, np.zeros_like(cos), -sin], 1)[:, None]  # of a turn to the left at the crown
    around = np.where(radius[..., None] > 1e-3, turn / np.maximum(radius, 1e-9)[..., None], flat)
    down = unit_vectors(down)
    around = unit_vectors(around - (around * down).sum(-1, keepdims=True) * down)
    scalp = neutral[: template.head.vertex_stop][template.regions["ears"][: template.head.vertex_stop] < 0.3]
    near = scalp[cKDTree(scalp).query(place, k=_NEAR)[1]].mean(2)
    gap = np.maximum(((place - near) * normal).sum(-1), 0)
    line = hull.line(azimuth, hull.hairline if line is None else line)
    return HullGrid(place, normal, down, around, radius, line, place - gap[..., None] * normal)


def view_votes(grid: HullGrid, view: HairView) -> np.ndarray:
    """(COLUMNS, ROWS, LEVELS) votes of a view over the hull's positions, from the skin outwards. What is beyond a hat
    does not tell whether there is hair below it."""
    height = (np.arange(LEVELS) + 0.5) * RISE
    points = grid.points[..., None, :] + grid.normal[..., None, :] * height[:, None]
    told = votes(points, view)
    if view.covered is None:
        return told
    beyond = np.maximum.accumulate(looked_up(view.covered, points, view) > 0.5, axis=2)
    return np.where(beyond, np.maximum(told, 0), told)


def hair_surface(grid: HullGrid, views: Sequence[HairView], told: Sequence[np.ndarray] | None = None) -> HairSurface:
    """The hair's body from the look's views, the leading one first. told : their votes ``view_votes``."""
    told = [view_votes(grid, view) for view in views] if told is None else told
    total = sum((vote * view.trust for vote, view in zip(told, views, strict=True)), np.zeros((COLUMNS, ROWS, LEVELS)))
    total = total + _MIRROR * np.maximum(_mirrored(total), -sum(view.trust for view in views))
    hats = _hats(grid, views)
    there, seen = _coverage(grid, total, views, hats)
    there, roots = along_usual_line(grid, there, _roots(grid, views, there, hats))
    stands = _height(grid, total, told, views, there)
    return HairSurface(grid, there, roots, stands, seen)


def along_usual_line(grid: HullGrid, there: np.ndarray, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``HairSurface.coverage`` and ``roots`` (C, R), moved up and down the head beside and behind the face until the
    border of short hair runs along the usual hairline, at its mean distance from it: down before the ear, round it, and
    down to the nape. Labels of small heads cut straight through, as sideburns and the arch are narrower than they tell.
    """
    last = ROWS - 1 - (there[:, ::-1] > 0.5).argmax(1)
    step = np.take_along_axis(there, np.stack([last, np.minimum(last + 1, ROWS - 1)], 1), 1)
    border = STEP * (last + (step[:, 0] - 0.5) / np.maximum(step[:, 0] - step[:, 1], 1e-3))
    off = border - grid.line
    grows = np.clip((_NO_ROOTS[1] - np.abs(off)) / _NO_ROOTS[0], 0, 1) * (there.max(1) > 0.5)
    wide, weight = _BENT / (2 * np.pi) * COLUMNS, grows * grid.beside_face[:, 0]
    total, number = (gaussian_filter1d(each, wide, mode="wrap") for each in (weight * off, weight))
    shift = weight * (total / np.maximum(number, 1e-6) - off)
    shift *= np.where(shift < 0, _ARCH, 1.0)
    near = np.clip(1 + (grid.s - (border + shift)[:, None]) / _TAPER[0], 0, 1)
    source = grid.s - shift[:, None] * near
    return tuple(
        np.stack([np.interp(*pair) for pair in zip(source, np.broadcast_to(grid.s, there.shape), each, strict=True)])
        for each in (there, roots)
    )


def _mirrored(values: np.ndarray) -> np.ndarray:
    """Values (COLUMNS, ...) at the azimuths' opposites."""
    return values[(-np.arange(COLUMNS)) % COLUMNS]


def view_coverage(grid: HullGrid, view: HairView, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``HairSurface.coverage`` and ``confidence`` (COLUMNS, ROWS) by one view alone; told : its ``view_votes``."""
    return _coverage(grid, told * view.trust, (view,), _hats(grid, (view,)))


def _coverage(
    grid: HullGrid, total: np.ndarray, views: Sequence[HairView], hats: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``HairSurface.coverage`` and ``confidence`` (COLUMNS, ROWS) from the sum of the views' votes ``view_votes`` times
    their trust, ``total`` (COLUMNS, ROWS, LEVELS). hats : of ``_hats``.

    A photo that looks along the scalp sees beside it where hair is thinner than a level's height, so there only photos
    that see it squarely tell that it is bare. Hair that hangs stands off the neck: low levels before which no photo
    looks squarely do not make it bare. Behind the ears only the lowest levels do.
    """
    trust = max(sum(view.trust for view in views), 1e-9)
    square = sum((view.trust * _squarely(grid, view) for view in views), np.zeros(grid.radius.shape)) / trust
    below = np.broadcast_to(grid.s - grid.line[:, None], square.shape)  # beyond the usual hairline
    shown = np.abs(total) > 1e-6
    first = shown & (np.cumsum(shown, 2) <= _SKIN_LEVELS)  # the lowest levels that a photo sees
    weight = np.minimum((np.abs(total) * first).sum(2) / (_SKIN_LEVELS * trust), 1)
    value = np.cumsum(total, 2).max(2) > 0.3 * trust
    beyond = np.clip(below / _FADE, 0, 1)
    bare = np.maximum(square, 1 - beyond) * -(total * first).sum(2)
    value &= bare < 0.2 * trust * first.sum(2)
    hangs = (value & (below > _LOBE)).any(1)  # behind an ear
    ears = _ears(grid, views) / trust * ~(hangs | _mirrored(hangs))[:, None]
    value &= ears < 0.3
    confidence = np.maximum(weight * np.where(value, 1, np.maximum(square, beyond)), ears)
    lowest = np.minimum(np.abs(total[..., :_SKIN_LEVELS]).sum(2) / (_SKIN_LEVELS * trust), 1)
    weight = confidence * np.where(value, 1, 1 - grid.behind * (1 - lowest))  # thin hair may lie there unseen
    bald = _bald_crown(grid, confidence * square, ~value)
    hidden = np.maximum(grid.behind, hats)
    prior = np.where(below > _FADE, _ENDS, 1e-4) + np.maximum(_BEHIND * hidden, bald)
    sides = weight * (np.abs(np.abs(grid.azimuth) - _SIDES[0]) < _SIDES[1])  # hair behind, rarely shown, is as long
    usual = np.maximum(below < 0, grid.behind * (sides * value).sum(0) / np.maximum(sides.sum(0), 1e-3))
    mean = (weight * value + prior * np.where(bald > 0, 1 - bald / _BALD, usual)) / (weight + prior)
    return np.clip(grid.filled(mean, weight + prior, _SPREAD), 0, 1), confidence


def _hats(grid: HullGrid, views: Sequence[HairView]) -> np.ndarray:
    """(C, R) share, by trust, of the views in which a hat or a hand hides where hair may grow: they do not tell."""
    low = grid.points[..., None, :] + grid.normal[..., None, :] * (np.arange(_SKIN_LEVELS) * RISE)[:, None]
    hats = sum((v.trust * looked_up(v.covered, low, v).max(2) for v in views if v.covered is not None), np.zeros(1))
    return hats / max(sum(view.trust for view in views), 1e-9) * (grid.s < grid.line[:, None] + _FADE)


def _bald_crown(grid: HullGrid, seen: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """(1, R) weight with which the crown, which no photo from the front shows, is bald: as much as the highest scalp
    that photos show in front is ``bare`` (C, R), 0 to 1, where it is ``seen`` (C, R)."""
    front = seen * (np.abs(grid.azimuth) < _HIGHEST[0]) * (grid.s < _HIGHEST[1])
    share = (front * bare).sum() / (front.sum() + _FEW)
    return _BALD * share**2 * np.clip((_CROWN[1] - grid.s) / (_CROWN[1] - _CROWN[0]), 0, 1)


def _ears(grid: HullGrid, views: Sequence[HairView]) -> np.ndarray:
    """(C, R) trust of the views that show an ear, and so no hair, at a place of the hull or above it."""
    height = (np.arange(_EAR_LEVELS) * RISE)[:, None]
    points, shown = grid.points[..., None, :] + grid.normal[..., None, :] * height, np.zeros(grid.radius.shape)
    for view in views:
        behind = view.camera.project(points)[..., 2] - looked_up(view.depth, points, view)
        shown += view.trust * (looked_up(view.ears, points, view) * (np.abs(behind) < _AT_EAR)).max(2)
    return np.maximum(shown, _mirrored(shown))


def _squarely(grid: HullGrid, view: HairView) -> np.ndarray:
    """(C, R) 0 to 1, how squarely a view sees the hull."""
    towards = unit_vectors(view.camera.centre() - grid.points)
    return np.clip(((towards * grid.normal).sum(-1) - _SQUARE) / (1 - _SQUARE), 0, 1)


def _height(
    grid: HullGrid, total: np.ndarray, told: Sequence[np.ndarray], views: Sequence[HairView], there: np.ndarray
) -> np.ndarray:
    """``HairSurface.height``: photos that look along the surface show it, others bound it from above."""
    thin = _tapered(grid, there)
    behind = grid.behind * np.clip((grid.s - 0.05) / 0.05, 0, 1)
    weight = _USUAL_WEIGHT[0] + (_USUAL_WEIGHT[1] - _USUAL_WEIGHT[0]) * behind
    value, shown, cut_value, cut = np.zeros((4, *there.shape))
    for vote, view in zip(told, views, strict=True):
        towards = unit_vectors(view.camera.centre() - grid.points)
        cosine = (towards * grid.normal).sum(-1)
        along = np.exp(-((cosine / _ALONG) ** 2))
        up = np.cumsum(vote, 2)
        top = np.where(up.max(2) > 0, (up.argmax(2) + 1) * RISE, 0.0)
        ends = up[..., -1] < up.max(2) - 0.9
        clear = view.trust * along * ((top > 0) & (vote[..., 0] != 0)) * thin**2  # it sees where hair begins
        full = np.clip(((top + _ROUND) * np.sqrt(np.maximum(1 - cosine**2, 0)) - _ROUND) / thin, 0, LEVELS * RISE)
        beyond = _CUT * clear * (~ends & (vote[..., -1] == 0))  # the picture ends before the hair
        cut_value, cut, clear = cut_value + beyond * full, cut + beyond, clear * ends
        for more, there_full in ((clear, full), (_MIRROR * _mirrored(clear), _mirrored(full))):
            value += more * there_full
            shown += more
    sides = (np.abs(np.abs(grid.azimuth) - _SIDES[0]) < _SIDES[1]) & (grid.s < grid.line[:, None]) & (there > 0.5)
    usual = (value[sides].sum() + _FEW * _USUAL) / (shown[sides].sum() + _FEW)  # behind, hair is as thick as beside
    value, weight = value + weight * (_USUAL + (usual - _USUAL) * grid.behind), weight + shown
    up = np.cumsum(total, 2)
    last = LEVELS - up[..., ::-1].argmax(2)  # what no photo shows, beyond their borders, does not bound it
    bound = np.where((up.max(2) > 0) & (there > 0.2), last * RISE, LEVELS * RISE)
    height, less = np.zeros(there.shape), np.where(there > 0.2, 1, 0.02)
    for _ in range(4):  # hair that a picture cuts is at least as high as it shows
        more = height * cut < cut_value
        height = grid.filled((value + more * cut_value) / (weight + more * cut), (weight + more * cut) * less)
    for _ in range(2):  # what lies above a bound is set to it and the surroundings follow
        over = height * thin > bound
        height = grid.filled(np.where(over, bound / thin, height), np.where(over, 4.0, 1.0), 0.5 * _SPREAD)
    return np.clip(np.minimum(height * thin, bound), 0.002, LEVELS * RISE)


def _tapered(grid: HullGrid, there: np.ndarray) -> np.ndarray:
    """(C, R) factor on the height: hair is thin towards the edges of where it is, in front and at ears and nape."""
    scalp = grid.s < grid.line[:, None] + _FADE  # long hair ends further down, as thick as it fell
    face = (np.abs(grid.azimuth) < _FACE[0]) & (grid.s < _FACE[1])
    bare = np.concatenate([(there < 0.5) & (scalp | face)] * 3)
    away = STEP * distance_transform_edt(~bare)[COLUMNS : 2 * COLUMNS]
    reach = np.where(np.abs(grid.azimuth) < 1.0, _TAPER[0], _TAPER[1])
    return np.clip(_EDGE + (1 - _EDGE) * away / reach, 0, 1)


def _roots(grid: HullGrid, views: Sequence[HairView], there: np.ndarray, hats: np.ndarray) -> np.ndarray:
    """``HairSurface.roots``: photos that see the scalp squarely tell, elsewhere the surroundings do."""
    vote, clear = np.zeros(there.shape), np.zeros(there.shape)
    for view in views:
        weight = view.trust * _squarely(grid, view)
        told = votes(grid.points, view)
        vote += weight * (told > 0) * looked_up(np.broadcast_to(view.dense, view.hair.shape), grid.points, view)
        clear += weight * (told != 0)
    vote, clear = (each + _MIRROR * _mirrored(each) for each in (vote, clear))
    share = vote / np.maximum(clear, 1e-9)
    temple = np.exp(-(((np.abs(grid.azimuth) - _TEMPLE[0]) / _TEMPLE[1]) ** 2))
    inside = grid.s < grid.line[:, None] + _NO_ROOTS[0] + (_NO_ROOTS[1] - _NO_ROOTS[0]) * temple
    bald = _bald_crown(grid, clear, 1 - share)
    usual = np.where(bald > 0, 1 - bald / _BALD, grid.s < grid.line[:, None])
    prior = 0.003 + np.maximum(_BEHIND * np.maximum(grid.behind * (grid.s > 0.12), hats), bald)
    value = (clear * share + prior * usual) / (clear + prior)
    return np.clip(grid.filled(value, clear + prior, 0.6 * _SPREAD), 0, 1) * inside * (there > 0.3)
