"""Turn a fitted style into guides: choose for each part of the scalp the variant that the photos show, and cut it where
hair ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from backend.geometry.template import Template
from backend.geometry.vectors import arc_length, disc, points_along
from backend.hair.attach import outside, skin_normals
from backend.hair.draw import lock_height, lock_radius
from backend.hair.fit_style import FittedStyle, lock_lines, resampled
from backend.hair.hair_strands import MOST_POINTS
from backend.hair.hair_views import HairView, closed_head, silhouettes
from backend.hair.hull import head_hull
from backend.hair.style_model import NUMBERS, lock_noise
from backend.hair.styles import Style
from backend.hair.to_outlines import to_outlines
from backend.hair.votes import BARE_FACE, MIRRORED, from_both_sides, from_other_side, looked_up, trusted, votes
from backend.rendering.visibility import facing_cosine

GUIDES = 1000
"""Roots over the whole area that may have hair, about 8 mm apart, less than a lock's width. Twice as many did not
change the overlap."""
GUIDE_POINTS = 24
"""Points of a guide: 2 cm apart in hair of half a metre, which bends over shoulders within 5 cm."""
NEIGHBOURS = 24
"""Neighbouring roots that choose a variant together, because hair on 4 x 4 cm of scalp is combed one way."""
ROUNDS = 2
"""Rounds in which all roots choose, given the others' choices of the round before."""
_PIECES = 6
"""Pieces per segment of a lock, as in the search, so that points lie closer together than a view's pixels."""
_COMBED_WITH, _COMBED = 7, 0.3
"""Number of neighbours, and the share of their median course from root to tip that is blended into a guide's own."""
_KINK = 0.03
"""Smoothing of a guide, as a share of its length. Shorter turns are artefacts of the growth's window in front of the
face, over chest and shoulders."""
_STRAIGHT = 0.002
"""Metres: waves of a smaller amplitude are ignored; a lock is four times as wide."""
_PER_WAVE = 6
"""Points per wave: four represent it, six make it round."""
_ANY_SIDE = np.array([1e-4, 0.0, 3e-5])
"""Metres: arbitrary side for strands that run straight away from the head; about a hair's width."""
_COVERED = 0.2
"""Value of a point in the photo's hair that other guides already cover, relative to an uncovered point."""
_AROUND, _MEET = 6, 0.6
"""Radius of a lock, as a share of the distance to its sixth neighbour: random discs of this size cover nearly nine
tenths of the scalp."""
_EDGE = 0.5
"""Share of the distance to the sixth neighbour: a root whose neighbours' mean is further away is at the hair's edge."""
_SHORT = 0.015
"""Metres of hair kept where all of a root's hair would lie outside the photos' hair, but no photo shows bare skin. As
short as a crew cut; it leaves no hole where the fitted skull is too large."""
_HEARSAY = 0.1
"""Weight of the nearest visible scalp's vote at an unseen root, relative to the photos' weight at a well-seen root.
Bald tops are also bald behind their visible edge."""
_HIGH = 0.02
"""Metres above the usual hairline. Bare skin below that is a forehead and no evidence of a bald scalp."""
_APART = 0.01
"""Metres: accuracy with which photos locate a root."""
_LEVEL = np.array([1.0, 3.0, 1.0])
"""Weights of x, y and z in distances between roots: height counts more, because a ring of hair runs level."""
_ROPES = 0.2
"""Locks that taper by a smaller share of their width are ropes (dreadlocks: 0 to 0.15; all other styles: at least 0.3).
"""
_LONGER, _FULLER = 1.35, 1.5
"""Factors on length and volume of the variants: hair that is too long is cut later, missing hair cannot be added."""


def fit_guides(template: Template, neutral: np.ndarray, style: FittedStyle, views: Sequence[HairView]) -> np.ndarray:
    """Fit guides (G, GUIDE_POINTS, 3) to the views, in metres, roots first, only where hair grows.

    Each root and its neighbours choose a variant of the fitted style. Then all guides move to the photos' outlines
    (``to_outlines``), and each ends where most photos that see it show no hair. Unseen hair keeps the fitted style.
    """
    roots = _scalp_roots(template)
    variants = _variants(style)
    lines = lock_lines(template, neutral, variants, lock_noise(len(roots)), roots)
    fine = resampled(lines, _PIECES).numpy()  # (K, G, Q, 3)
    count, guides, samples = fine.shape[:3]
    growing = fine[0, np.isfinite(fine[0, :, 0, 0])]
    away = float(lock_radius(growing, lock_widths(growing[:, 0], style.style)).mean()) / 2  # of a typical hair
    outlines, views = views, [_locks_beside_face(view, away) for view in views]
    told = [votes(fine, view) for view in views]  # each (K, G, Q): hair, in [-1, 1], 0 where nothing is seen
    near = cKDTree(_flat(roots)).query(_flat(roots), k=min(NEIGHBOURS, guides))[1]
    chosen = np.zeros(guides, int)
    trust = [view.trust for view in views]
    ends = np.stack([_ends(each) for each in np.tensordot(trust, told, 1) + from_other_side(fine, views)])
    index = np.arange(samples)
    for _ in range(ROUNDS):
        current = fine[chosen, np.arange(guides)].copy()
        current[index >= ends[chosen, np.arange(guides)][:, None]] = np.nan
        gain = np.zeros((count, guides))
        for vote, view in zip(told, views, strict=True):
            shown = silhouettes(current.reshape(1, -1, 3), view)[0]
            covered = looked_up(shown.astype(np.float32), fine, view)
            worth = np.where(vote > 0, vote * (1 - (1 - _COVERED) * covered), vote)
            gain += view.trust * np.where(index < ends[..., None], worth, 0.0).sum(-1)
        gain = gain[:, near].mean(-1)
        gain[0] += 1e-6 + 0.02 * np.abs(gain).mean()  # prefer the fitted style unless another is clearly better
        chosen = gain.argmax(0)
    line = fine[chosen, np.arange(guides)]
    rooted = np.isfinite(line[:, 0, 0])
    line, roots = _smooth(_combed(line[rooted])), roots[rooted]
    head = closed_head(neutral.astype(np.float64), template)
    line = outside(line, *head)  # hair lies on the skull, never inside it
    ends = _ends(from_both_sides(line, views))
    height = lock_height(line, lock_widths(line[:, 0], style.style))
    line = to_outlines(line, height, ends, outlines, _skull(template, neutral))
    line = outside(line, *head)
    own = trusted(line, views)
    end, beside = _ends(own + from_other_side(line, views)), _beside(line[:, 0])
    usual = np.median(end[beside], axis=1)  # closes gaps in the hair and removes isolated strands
    bare = own <= -0.5 * (1 + BARE_FACE) * sum(view.trust for view in views)  # half show the face
    before_face = np.where(bare.any(1), bare.argmax(1), bare.shape[1])
    end = np.where(usual < 2, usual, np.where(end < 2, np.minimum(usual, before_face), end)).astype(int)
    normals = skin_normals(line[:, 0], *head)
    root, clear = (value[beside].mean(1) for value in _at_roots(line[:, 0], normals, views))
    mirror = cKDTree(line[:, 0]).query(line[:, 0] * MIRRORED)[1]
    share = np.clip(1 - clear / np.maximum(clear[mirror], 1e-9), 0, 1)  # taken from the more visible side
    root = (1 - share) * root + share * root[mirror] + _hearsay(template, roots, line[:, 0], root, clear)
    short = 1 + (np.cumsum(_steps(line), 1) < _SHORT).sum(1)
    end = np.where((end < 2) & (root >= 0), np.maximum(np.round(share * end[mirror]), short), end).astype(int)
    end[root < 0] = 0  # most photos show bare skin at the roots
    kept = np.flatnonzero(end >= 2)
    if not len(kept):
        return np.zeros((0, GUIDE_POINTS, 3), np.float32)
    return np.stack([_evenly(line[g, : end[g]]) for g in kept]).astype(np.float32)


def lock_widths(roots: np.ndarray, style: Style) -> np.ndarray:
    """(G,) float32 widths in metres of the locks of guides with roots (G, 3).

    Locks that taper are wide enough to hide the scalp between them, except at the hair's edge, where they keep the
    style's width and so do not grow beyond it. Ropes always keep the style's width and stand apart.
    """
    own = 0.5 * sum(style.width)
    if len(roots) <= _AROUND or 0.5 * sum(style.taper) < _ROPES:
        return np.full(len(roots), own, np.float32)
    distance, near = cKDTree(roots).query(roots, k=_AROUND + 1)
    reach = distance[:, -1]
    edge = np.linalg.norm(roots[near[:, 1:]].mean(1) - roots, axis=1) > _EDGE * reach
    return np.where(edge, own, np.maximum(own, 2 * _MEET * reach)).astype(np.float32)


def _combed(guides: np.ndarray) -> np.ndarray:
    """Guides (G, P, 3) blended with their neighbours' median course, so that none stands out of the hair alone."""
    way = guides - guides[:, :1]
    return guides[:, :1] + (1 - _COMBED) * way + _COMBED * np.median(way[_beside(guides[:, 0])], axis=1)


def _beside(roots: np.ndarray) -> np.ndarray:
    """(G, K) indices of the nearest roots (G, 3), starting with the root itself."""
    return cKDTree(roots).query(roots, k=min(_COMBED_WITH, len(roots)))[1].reshape(len(roots), -1)


def _smooth(guides: np.ndarray) -> np.ndarray:
    """Guides (G, P, 3) without turns shorter than ``_KINK``; roots stay."""
    count = guides.shape[1]
    smooth = gaussian_filter1d(guides, _KINK * count, axis=1, mode="nearest")
    share = np.clip(np.arange(count) / (2 * _KINK * count), 0, 1)[:, None]  # the filter has no data before the root
    return guides + share * (smooth - guides)


def _scalp_roots(template: Template) -> np.ndarray:
    """(GUIDES, 2) azimuth and s of roots, spread evenly over the area that may have hair."""
    hull = head_hull(template)
    place = lock_noise(GUIDES).place
    azimuth = (place[:, 0] - 0.5) * 2 * np.pi
    return np.stack([azimuth, place[:, 1] ** 0.62 * (hull.line(azimuth, hull.hairline) + 0.02)], 1)


def _skull(template: Template, neutral: np.ndarray) -> np.ndarray:
    """(3,) mean of the scalp's vertices: a point inside the skull, at the height where it is widest."""
    scalp = template.regions["scalp"][: template.head.vertex_stop] > 0.5
    return neutral[: template.head.vertex_stop][scalp].mean(0)


def _flat(roots: np.ndarray) -> np.ndarray:
    """Roots (azimuth, s) flattened into a plane, metres from the crown."""
    return np.stack([roots[:, 1] * np.sin(roots[:, 0]), roots[:, 1] * np.cos(roots[:, 0])], 1)


def _variants(style: FittedStyle) -> np.ndarray:
    """(K, D): the fitted style, longer and fuller ones, and others that explain the photos nearly as well."""
    index = {number.name: i for i, number in enumerate(NUMBERS)}

    def changed(**factors: float) -> np.ndarray:
        point = style.point.copy()
        for name, factor in factors.items():
            number = NUMBERS[index[name]]
            point[index[name]] += np.log(factor) / np.log(number.high / number.low)
        return np.clip(point, 0, 1)

    longer, fuller = changed(top=_LONGER, sides=_LONGER), changed(volume=_FULLER)
    flatter = changed(volume=1 / _FULLER)
    both = changed(top=_LONGER, sides=_LONGER, volume=_FULLER)
    return np.stack([style.point, longer, fuller, flatter, both, *style.others[1:5]])


def _at_roots(roots: np.ndarray, normals: np.ndarray, views: Sequence[HairView]) -> tuple[np.ndarray, np.ndarray]:
    """Votes (G,) at roots (G, 3) with skin ``normals`` (G, 3), weighted by the cosine at which each photo sees the
    skin, and (G,) the sum of the weights: 0 where unseen."""
    vote, clear = np.zeros(len(roots)), np.zeros(len(roots))
    for view in views:
        weight = view.trust * np.maximum(facing_cosine(roots, normals, view.camera), 0)
        here = np.minimum(view.hair + view.face, 1)  # neither: the fitted head reaches beyond the real one
        vote += weight * votes(roots, replace(view, known=view.known * here))
        clear += weight * votes(roots, replace(view, hair=np.ones_like(view.hair), face=np.zeros_like(view.face)))
    return vote, clear


def _hearsay(
    template: Template, roots: np.ndarray, places: np.ndarray, vote: np.ndarray, clear: np.ndarray
) -> np.ndarray:
    """(G,) weak votes for roots (G, 2) at ``places`` (G, 3), which count where photos see nothing: the mean of the
    votes (G,) of visible high scalp (visibility ``clear`` (G,)), weighted towards the nearest."""
    hull = head_hull(template)
    high = roots[:, 1] < hull.line(roots[:, 0], hull.hairline) - _HIGH
    well = np.quantile(clear, 0.9)
    seen = np.minimum(clear[high] / max(_HEARSAY * well, 1e-9), 1)
    told = np.clip(vote[high] / np.maximum(clear[high], 1e-9), -1, 1)
    near = 1 / (cdist(places * _LEVEL, places[high] * _LEVEL, "sqeuclidean") + _APART**2) ** 2
    return _HEARSAY * well * (near @ (seen * told)) / np.maximum(near @ seen, 1e-9)


def _locks_beside_face(view: HairView, away: float) -> HairView:
    """The view with its bare face dilated by ``away`` metres, so that the hairs around a guide end beside the face."""
    face = cv2.dilate(view.face, disc(max(1, round(away * view.pixels_per_metre))))
    return replace(view, face=face, hair=np.minimum(view.hair, 1 - face))


def _ends(votes: np.ndarray) -> np.ndarray:
    """(G,) number of the samples (G, Q) that belong to a guide: up to the maximum of the cumulative votes."""
    total = np.cumsum(votes + 1e-3, axis=1)
    return np.where(total.max(1) > 0, total.argmax(1) + 1, 0)


def _evenly(line: np.ndarray) -> np.ndarray:
    """(GUIDE_POINTS, 3) a line (Q, 3) resampled evenly."""
    return points_along(line, np.linspace(0, arc_length(line)[-1], GUIDE_POINTS))


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
