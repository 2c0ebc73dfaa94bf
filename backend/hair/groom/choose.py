"""Which groom photographs show, and how it is deformed to them: analysis by synthesis.

Every groom, and its mirror image, is grown on the head and drawn as a mask into each photo of the look. It is judged by
the overlap with the photo's hair, by the photo's clear lines, and by what the reader of the hair's kind says. The best
few are deformed to the outlines by factors on length and shell and by their hairline (Gauss-Newton), and judged again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.geometry.vectors import disc
from backend.hair.groom.description import Groom, load_grooms, mirrored, receded
from backend.hair.groom.grow import ANGLES, HEIGHTS, CombedGuides, GroomHead, comb, factor_weights
from backend.hair.groom.scalp import chart
from backend.hair.hair_views import BEHIND, HairView
from backend.models.hair_kind import FIELDS, MIRRORED, HairKind
from backend.rendering.camera import Camera
from backend.system.parallel import each

_SIDE = 160
"""Pixels of a view's longer side: two millimetres on a head."""
_FEWER = 0.25
"""Share of a groom's guides by which it is judged and deformed: a guide each centimetre."""
_GAP = 0.010
"""Metres: gaps between guides that their mask closes, the distance of the fewer guides."""
_OVERLAP_OFF, _LINES_OFF, _BORDER_OFF = 0.15, 0.35, 0.002
"""Deviations of overlap and of line error from perfect ones by the right groom; set by hand on ten people looked at.
Overlap is off by more where borders that are off by so many metres are much of the hair: of a thin ring."""
_CLEAR, _FEW = 0.5, 100
"""Coherence from which a photo's line counts, and points of guides that tell half of what many do."""
READER_ERRS = 0.05
"""Share of the reader's answers that are wrong altogether."""
_CURL_WORTH = 2.5
"""Factor on log odds of curl, learnt on 68 portraits left out of the reader's; those of all else and of the overlap are
0.9 to 1.3. Of what their labels say the groom has 0.77, of 0.90 that any has; by overlap alone 0.70. Their curl is
right on 0.62, with a factor of 1 on 0.54."""
_TIED, _BRAIDED = 0.24, 0.25
"""Share of people with hair behind their ears (10 of 41 labelled) whose hair is tied; how often braids are, beside
ponytails and low buns, which hide as they do behind the head (3 of 25 labelled, 20)."""
_BESIDE = 0.5
"""Share of the probability of the next longer and shorter hair that speaks for a groom, whose length is fitted; of a
bald head, and one that thins, for a ring."""
_READ_AS = {"thinning_top": "receding"}
"""What the reader was never taught (one of 929 portraits), and what it reads in its place; outlines tell them apart."""
_RECEDES = {"density": "full", "fringe": "none", "tied": "no"}.items()
"""Kinds of grooms that come with a receding hairline and a thin top too."""
_RECEDED = ("receding", "thinning")
_LIKELY, _BEST, _STEPS = 9, 3, 2
"""Grooms, with their mirror images, that are drawn because the reader finds them likely;
grooms that are deformed, and steps of each: a third changes overlaps by less than 0.01."""
_LENGTH_VARIES, _SHELL_VARIES, _LINE_VARIES = 0.35, 0.2, 3.0
"""Deviations, over people with a groom, of the log factors on length and shell and of the hairline in degrees."""
_SMOOTH, _ONE_CUT, _LINE_SMOOTH = 0.2, 0.05, 1.0
"""Deviations of a factor from its neighbour's and from its mirror image's; of lengths of hair that hangs, which is cut
at once (0.02 and 0.06 of two modelled bobs, CC0); and of the hairline's, degrees."""
_MOST, _SHELL_MOST, _LINE_MOST = 0.7, 0.5, 7.0
"""Bounds of log factors (2 and 1.65 times) and of the
hairline's way from the groom's, degrees (12 mm)."""
_LEAVES = 0.04
"""Metres of a photo's lower edge, across, that hair which goes on covers at least: a lock on each side."""
_OUTLINE_OFF, _FAR = 0.004, 0.02
"""Metres: deviation of one centimetre of outline; and distance from which outlines are less likely each other's, and
from the hairline over which hair moves with it."""
_STEP = 0.1
"""Log factor of a difference for a derivative."""


@dataclass(frozen=True)
class GroomFit:
    """A groom deformed to photos: arguments of ``grow_guides``. ``score`` : log probability but for a constant;
    ``overlap`` : mean over the photos, by trust, of intersection over union."""

    groom: Groom
    hairline: np.ndarray
    lengths: np.ndarray
    shells: np.ndarray
    score: float
    overlap: float

    @property
    def fitted(self) -> dict[str, np.ndarray]:
        """Keywords of ``grow_guides``."""
        return {"hairline": self.hairline, "lengths": self.lengths, "shells": self.shells}


def choose_groom(
    head: GroomHead,
    views: Sequence[HairView],
    kind: HairKind | None,
    names: Sequence[str] = (),
    line: np.ndarray | None = None,
    shortest: float = 0.0,
    change: Callable[[Groom], Groom] = lambda groom: groom,
) -> GroomFit:
    """The groom that explains the views best, deformed to them.

    names : of the grooms that may be chosen; empty: all. line : (360,) the user's hairline, of
    ``apply_hairline_points``. shortest : least factor on lengths. change : what the user wants of any groom.
    """
    small = [_smaller(view) for view in views]
    kind = _at_least(kind, small)
    grooms = [load_grooms()[name] for name in names or load_grooms()]
    grooms += [receded(groom, how) for groom in grooms if groom.kind.items() >= _RECEDES for how in _RECEDED]
    both = [change(one) for groom in grooms for one in ([groom, mirrored(groom)] if _has_sides(groom) else [groom])]
    told = [_told(groom, kind) for groom in both]
    likely = np.argsort(np.negative(told), kind="stable")[: len(both) if kind is None else _LIKELY]
    starts = each(lambda k: _judged(head, small, _start(both[k], line), told[k]), likely)
    best: dict[str, _Judged] = {}
    for one in sorted(starts, key=lambda one: -one.fit.score):  # of a mirrored pair, and of those that differ by ties
        best.setdefault(one.fit.groom.name if one.fit.groom.kind["tied"] == "no" else "tied", one)
    tried = list(best.values())[:_BEST]
    fits = each(lambda one: _deformed(head, small, one, _told(one.fit.groom, kind), shortest), tried)
    return max(fits, key=lambda fit: fit.score)


def _start(groom: Groom, line: np.ndarray | None) -> GroomFit:
    ones = np.ones((ANGLES, len(HEIGHTS)))
    hairline = groom.hairline.copy()
    if line is not None:
        told = line[(np.round(hairline[:, 0]).astype(int) + 180) % 360]
        hairline[:, 1] = np.where(np.isnan(told), hairline[:, 1], told)
    return GroomFit(groom, hairline, ones, ones, 0.0, 0.0)


def _has_sides(groom: Groom) -> bool:
    flow = groom.shape["flow"]
    return bool(flow["part_mm"] or flow["angle"] % 180 or flow["part_slope"])


def _told(groom: Groom, kind: HairKind | None) -> float:
    """Log probability of the groom's kind by the reader, over what it was taught to read and what is seen: not how long
    or curly tied hair is, nor that loose hair lies behind the ears, where it looks as if its sides were cut."""
    if kind is None:
        return 0.0
    loose = groom.kind["tied"] == "no"
    unseen = ("length", "sides")[: 1 + loose] if groom.kind["sides"] == "behind_ears" else ()
    fields = [field for field in groom.kind if field in kind.odds and field not in unseen]
    pulled = max(("straight", "wavy"), key=lambda curl: kind.probability("curl", curl)) if "curl" in fields else ""
    own = groom.kind if loose else {**groom.kind, "curl": pulled}  # what is pulled to a tie shows no curls
    odds = [_probability(kind, field, own[field], *(() if loose else ("up",))) for field in fields]
    even = [1 / len(FIELDS[field]) for field in fields]
    worth = [_CURL_WORTH if field == "curl" else 1.0 for field in fields]
    told = worth @ np.log((1 - READER_ERRS) * np.array(odds) + READER_ERRS * np.array(even))
    return float(told + (0.0 if loose else np.log(_TIED * (_BRAIDED if groom.kind["tied"] == "braid" else 1.0))))


def _probability(kind: HairKind, field: str, value: str, *also: str) -> float:
    value = _READ_AS.get(value, value)
    place = FIELDS[field].index(value)
    beside = FIELDS[field][max(place - 1, 0) : place + 2] if field == "length" or value == "ring" else (value,)
    beside = tuple(_READ_AS.get(one, one) for one in beside)
    alike = {value, MIRRORED.get(value, value)}  # which side, lines tell: the reader is right for 7 of 45
    own = kind.probability(field, *alike) / len(alike)
    more = kind.probability(field, *(set(also) & set(FIELDS[field])))  # what is tied at the back is read as up, too
    return own + _BESIDE * (kind.probability(field, *beside) - own) + more


@dataclass(frozen=True)
class _Small:
    """A view at ``_SIDE``. ``hair``, ``known`` : (H, W) bool; ``clear`` : (H, W, 2) of its lines; ``depth`` : (H, W);
    ``away`` : (H, W) metres to the hair's border, positive outside; ``slope`` : (H, W, 2) its gradient, by row and
    column; ``border`` : (N, 2) its pixels, row and column,
    where it is known; ``near`` : (H, W) 1 where the nearest border is known; ``leaves`` : (M, 2) pixels where hair
    leaves what the photo shows, below: it reaches so far at least; ``off`` : deviation of the overlap."""

    camera: Camera
    trust: float
    metre: float
    hair: np.ndarray
    known: np.ndarray
    clear: np.ndarray
    depth: np.ndarray
    away: np.ndarray
    slope: np.ndarray
    border: np.ndarray
    near: np.ndarray
    leaves: np.ndarray
    off: float


def _at_least(kind: HairKind | None, views: Sequence[_Small]) -> HairKind | None:
    """The kind, longer than to the shoulder where most photos, by trust, end before such hair does."""
    trust = np.array([view.trust for view in views])
    if kind is None or trust @ [len(view.leaves) > _LEAVES * view.metre for view in views] <= trust.sum() / 2:
        return kind
    *shorter, shoulder, longer = kind.odds["length"]
    return HairKind({**kind.odds, "length": np.array([*shorter, 0.0, shoulder + longer])})


def _smaller(view: HairView) -> _Small:
    share = min(1.0, _SIDE / max(view.depth.shape))
    camera = view.camera.scaled(share)
    size = camera.size

    def fewer(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(np.ascontiguousarray(picture, np.float32), size, interpolation=cv2.INTER_AREA)

    hair, known = fewer(view.hair) > 0.5, fewer(view.visible) > 0.5
    depth = cv2.resize(np.minimum(view.depth, 1e3).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    metre = view.pixels_per_metre * share
    away = _away(hair) / metre
    inner = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    border = _border(hair)
    edge = np.pad(np.zeros(np.subtract(border.shape, 2), bool), 1, constant_values=True)
    told = border & inner & ~edge
    all_places, good = np.argwhere(border), told[border]
    near = np.zeros(hair.shape, bool)
    if len(all_places):
        near = good[cKDTree(all_places).query(np.argwhere(np.ones(hair.shape)))[1]].reshape(hair.shape)
    slope = np.stack(np.gradient(cv2.GaussianBlur(away.astype(np.float32), (0, 0), 1.0)), -1) * metre
    clear = fewer(view.direction)
    off = max(_OVERLAP_OFF, _BORDER_OFF * metre * told.sum() / max((hair & known).sum(), 1))
    below = np.logical_or.accumulate(known[::-1])[::-1][1:]  # whether something is known there or below
    leaves = np.argwhere(hair & known & ~np.pad(below, ((0, 1), (0, 0))))
    border = np.argwhere(told)
    return _Small(camera, view.trust, metre, hair, known, clear, depth, away, slope, border, near, leaves, off)


def _border(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool the outermost pixels of a mask."""
    return mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)


def _away(mask: np.ndarray) -> np.ndarray:
    """(H, W) pixels to the border of a mask, positive outside."""
    out, inside = (cv2.distanceTransform((one == 0).astype(np.uint8), cv2.DIST_L2, 5) for one in (mask, ~mask))
    return np.where(mask, 0.5 - inside, out - 0.5)


@dataclass(frozen=True)
class _Drawn:
    """A groom's guides in a view. ``mask`` : (H, W) bool of what is seen, ``cut`` : (H, W) bool where the head hides
    what goes on; and of each seen point its ``place`` (N, 2) in pixels, ``guide`` and ``along`` (N,), and ``front``
    (N,) whether no hair is before it."""

    mask: np.ndarray
    cut: np.ndarray
    place: np.ndarray
    guide: np.ndarray
    along: np.ndarray
    front: np.ndarray


def _draw(points: np.ndarray, view: _Small) -> _Drawn:
    """Draw lines (G, P, 3) densely enough for the view's pixels."""
    height, width = view.depth.shape
    step = np.linalg.norm(np.diff(points, axis=1), axis=2).max(initial=1e-6)
    count = int(np.clip(np.ceil(step * view.metre / 1.5), 1, 12))
    share = np.arange(count)[:, None] / count
    lines = points[:, :-1, None] * (1 - share) + points[:, 1:, None] * share
    lines = np.concatenate([lines.reshape(len(points), -1, 3), points[:, -1:]], 1)
    pixel = view.camera.project(lines.reshape(-1, 3))
    column, row = np.floor(pixel[:, :2]).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (pixel[:, 2] > 0.01)
    number = np.flatnonzero(inside)
    row, column, depth = row[inside], column[inside], pixel[inside, 2]
    shown = depth < view.depth[row, column] + BEHIND
    disc_ = disc(max(1, round(_GAP * view.metre)))
    number, row, column, depth = number[shown], row[shown], column[shown], depth[shown]
    canvas, front = np.zeros((height, width), np.uint8), np.full((height, width), np.inf)
    canvas[row, column] = 1
    mask = cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, disc_) > 0
    np.minimum.at(front, (row, column), depth)
    guide, along = np.divmod(number, lines.shape[1])
    around = cv2.erode(view.depth, np.ones((5, 5), np.uint8))
    cut = cv2.erode(front, np.ones((3, 3), np.uint8)) > around + BEHIND
    return _Drawn(mask, cut, pixel[number, :2], guide, along / count, depth < front[row, column] + BEHIND)


@dataclass(frozen=True)
class _Judged:
    """``fit`` : with overlap and score. ``combed`` : its guides. ``drawn`` : those on the scalp in each view."""

    fit: GroomFit
    combed: CombedGuides
    drawn: list[_Drawn]


def _judged(head: GroomHead, views: Sequence[_Small], fit: GroomFit, told: float) -> _Judged:
    combed = comb(fit.groom, head, **fit.fitted, share=_FEWER)
    lines = [combed.points[combed.thin > 0.5], *([combed.free] if len(combed.free) else [])]
    overlaps, short, errors, first = [], [], [], []
    for view in views:
        drawn = [_draw(part, view) for part in lines]
        mask = np.logical_or.reduce([one.mask for one in drawn]) & view.known
        seen = view.hair & view.known
        overlaps.append((mask & seen).sum() / max((mask | seen).sum(), 1))
        short.append((~mask[tuple(view.leaves.T)]).sum() / max(len(view.border) + len(view.leaves), 1))
        errors.append(_line_error(lines[0], drawn[0], view))
        first.append(drawn[0])
    trust = np.array([view.trust for view in views])
    off = (1 - np.array(overlaps) + short) / [view.off for view in views]
    overlap, lines_off, off = (float(trust @ each_ / trust.sum()) for each_ in (overlaps, errors, off))
    score = told - 0.5 * off**2 - 0.5 * (lines_off / _LINES_OFF) ** 2
    return _Judged(replace(fit, overlap=overlap, score=float(score)), combed, first)


def _line_error(lines: np.ndarray, drawn: _Drawn, view: _Small) -> float:
    """Mean of half of 1 - cos of twice the angle between guides in front and the photo's clear lines; 0.5 by chance."""
    guide, along = drawn.guide[drawn.front], drawn.along[drawn.front].astype(int)
    along = np.minimum(along, lines.shape[1] - 2)
    ends = [view.camera.project(lines[guide, along + k])[:, :2] for k in (0, 1)]
    step = ends[1] - ends[0]
    twice = 2 * np.arctan2(step[:, 1], step[:, 0])
    column, row = np.floor(drawn.place[drawn.front]).astype(int).T
    photo = view.clear[row, column] * (view.hair & view.known)[row, column, None]
    sure = np.hypot(*photo.T)
    clear = sure > _CLEAR
    alike = (photo[clear, 0] * np.cos(twice[clear]) + photo[clear, 1] * np.sin(twice[clear])) / sure[clear]
    return 0.5 * float(1 - alike.sum() / (clear.sum() + _FEW))


def _deformed(head: GroomHead, views: Sequence[_Small], judged: _Judged, told: float, shortest: float) -> GroomFit:
    """The fit after ``_STEPS`` Gauss-Newton steps of hairline, lengths and shells; the best of them."""
    fit, groom, cells = judged.fit, judged.fit.groom, ANGLES * len(HEIGHTS)
    count = len(groom.hairline)
    prior = _prior(count, groom.shape["zone"]["hang"] > 0)
    start = fit.hairline[:, 1].copy()
    state, best = np.zeros(2 * cells + count), fit
    fixed = fit.hairline[:, 1] != groom.hairline[:, 1]
    for _ in range(_STEPS):
        system, right = prior.copy(), -prior @ state
        for more, residual in _outline_rows(head, views, judged):
            system += more.T @ more
            right -= more.T @ residual
        state = state + np.linalg.solve(system + 1e-6 * np.eye(len(system)), right)
        state[:cells] = np.clip(state[:cells], np.log(max(shortest, np.exp(-_MOST))), _MOST)
        state[cells : 2 * cells] = np.clip(state[cells : 2 * cells], -_SHELL_MOST, _SHELL_MOST)
        state[2 * cells :] = np.clip(state[2 * cells :], -_LINE_MOST, _LINE_MOST) * (1 - fixed)
        hairline = np.stack([fit.hairline[:, 0], start + state[2 * cells :]], 1)
        lengths, shells = np.exp(state[: 2 * cells]).reshape(2, ANGLES, len(HEIGHTS))
        tried = replace(fit, hairline=hairline, lengths=lengths, shells=shells)
        judged = _judged(head, views, tried, told)
        best = max(best, judged.fit, key=lambda one: one.score)
    return best


def _prior(count: int, hangs: bool) -> np.ndarray:
    """Precision (D, D) of log factors and hairline: near 0, smooth, symmetric; lengths of what ``hangs`` as one."""
    rows, cells = [], ANGLES * len(HEIGHTS)
    index = np.arange(cells).reshape(ANGLES, len(HEIGHTS))
    number, unit = 2 * cells + np.arange(count), np.eye(2 * cells + count)

    def tie(one: np.ndarray, other: np.ndarray, deviation: float) -> None:
        rows.append((unit[one.ravel()] - unit[other.ravel()]) / deviation)

    for offset, smooth in ((0, _ONE_CUT if hangs else _SMOOTH), (cells, _SMOOTH)):
        tie(index + offset, np.roll(index, 1, 0) + offset, smooth)
        tie(index[:, 1:] + offset, index[:, :-1] + offset, _SMOOTH)
        tie(index + offset, index[-np.arange(ANGLES) % ANGLES] + offset, _SMOOTH)
    tie(number, np.roll(number, 1), _LINE_SMOOTH)
    tie(number, number[-np.arange(count) % count], _LINE_SMOOTH)
    together = np.sqrt(ANGLES) if hangs else 1.0
    own = np.repeat([together * _LENGTH_VARIES, _SHELL_VARIES, _LINE_VARIES], [cells, cells, count])
    matrix = np.concatenate(rows)
    return matrix.T @ matrix + np.diag(own**-2.0)


def _outline_rows(head: GroomHead, views: Sequence[_Small], judged: _Judged) -> list[tuple[np.ndarray, np.ndarray]]:
    """Jacobian (N, D) and residuals (N,) of the outlines in each view, in deviations."""
    fit, combed, moves = judged.fit, judged.combed, []
    for name in ("lengths", "shells"):
        moves.append(np.zeros_like(combed.points))
        if name == "shells" or combed.tie is None:  # what is tied ends at its tie
            more = comb(fit.groom, head, **{**fit.fitted, name: getattr(fit, name) * np.exp(_STEP)}, share=_FEWER)
            _, both, same = np.intersect1d(combed.number, more.number, return_indices=True)
            moves[-1][both] = (more.points[same] - combed.points[both]) / _STEP
    number = np.flatnonzero(combed.thin > 0.5)
    cells = factor_weights(combed.about, combed.away)
    rim = _line_moves(combed, fit.hairline)
    pairs = zip(judged.drawn, views, strict=True)
    return [_view_rows(combed.points, moves, cells, rim, number, *pair, head) for pair in pairs]


def _line_moves(combed: CombedGuides, line: np.ndarray) -> np.ndarray:
    """(G, H) degrees by which roots move with each point of the hairline's."""
    about = combed.about[:, None]
    apart = np.abs((about - line[:, 0] + 180) % 360 - 180)
    near = np.exp(-0.5 * (apart / 10.0) ** 2) + 1e-9
    return near / near.sum(1, keepdims=True) * np.exp(-np.maximum(combed.edge, 0) / _FAR)[:, None]


def _view_rows(
    points: np.ndarray,
    moves: Sequence[np.ndarray],
    cells: np.ndarray,
    rim: np.ndarray,
    number: np.ndarray,
    drawn: _Drawn,
    view: _Small,
    head: GroomHead,
) -> tuple[np.ndarray, np.ndarray]:
    """Of one view; ``number`` : (L,) of the guides ``points`` (G, P, 3) that are drawn."""
    size = 2 * cells.shape[1] + rim.shape[1]
    outline = _border(drawn.mask) & view.known
    edge = np.argwhere(outline & ~drawn.cut)
    border = np.concatenate([view.border, view.leaves[~drawn.mask[tuple(view.leaves.T)]]])
    if not len(edge) or not len(border):
        return np.zeros((0, size)), np.zeros(0)
    tree = cKDTree(drawn.place[:, ::-1] - 0.5)
    row, column = edge.T
    own = [(edge, view.slope[row, column], view.away[row, column], view.near[row, column])]
    back = cKDTree(edge).query(border)[1]
    way = (border - edge[back]).astype(float)
    far = np.linalg.norm(way, axis=1)
    kept = far > 0.5
    way, far, back = way[kept], far[kept], back[kept]
    own.append((edge[back], -way / far[:, None], far / view.metre, np.ones(len(far), bool)))
    rows, residuals = [np.zeros((0, size))], [np.zeros(0)]
    for place, normal, residual, good in own:
        place, normal, residual = place[good], normal[good], residual[good]
        if not len(place):
            continue
        away, near = tree.query(place)
        guide, along = number[drawn.guide[near]], drawn.along[near]
        low = np.minimum(along.astype(int), points.shape[1] - 2)
        share = (along - low)[:, None]
        here = points[guide, low] * (1 - share) + points[guide, low + 1] * share
        jacobian = _pixel_jacobian(view.camera, here)
        speed = [
            np.einsum("nk,nkx,nx->n", normal, jacobian, move[guide, low] * (1 - share) + move[guide, low + 1] * share)
            for move in moves
        ]
        about, off = chart(head.in_mean(points[guide, 0]))
        turned = head.down_at(about, off)
        with_line = np.einsum("nk,nkx,nx->n", normal, jacobian, turned)
        row_ = np.concatenate([cells[guide] * speed[0][:, None], cells[guide] * speed[1][:, None],
                               rim[guide] * with_line[:, None]], 1) / view.metre  # fmt: skip
        weight = 1 / (1 + (residual / _FAR) ** 2) * np.sqrt(view.trust / view.metre / 0.01) / _OUTLINE_OFF
        weight *= away < 3.0
        rows.append(row_ * weight[:, None])
        residuals.append(residual * weight)
    return np.concatenate(rows), np.concatenate(residuals)


def _pixel_jacobian(camera: Camera, points: np.ndarray) -> np.ndarray:
    """(N, 2, 3) change of row and column of points (N, 3) with them."""
    step = 1e-4
    middle = camera.project(points)[:, :2]
    axes = [(camera.project(points + step * axis)[:, :2] - middle) / step for axis in np.eye(3)]
    return np.stack(axes, -1)[:, ::-1]
