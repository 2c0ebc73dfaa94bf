"""From a fitted style to guides: place by place the member of the family that the photos show, cut where hair ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from backend.geometry.disc import disc
from backend.geometry.polyline import arc_length, points_along
from backend.geometry.template import Template
from backend.hair.attach import outside, skin_normals
from backend.hair.draw import lock_height, lock_radius
from backend.hair.fit_style import FittedStyle, lock_lines, resampled
from backend.hair.hair_strands import MOST_POINTS
from backend.hair.hair_views import HairView, closed_head, silhouettes
from backend.hair.hull import head_hull
from backend.hair.style_model import NUMBERS, lock_noise
from backend.hair.styles import Style
from backend.hair.to_outlines import to_outlines
from backend.rendering.visibility import facing_cosine

GUIDES = 1000
"""Roots over all that may have hair: one for 7 mm of scalp, narrower than a lock. Twice as many changed no overlap."""
GUIDE_POINTS = 24
"""Points of a guide: 2 cm apart in hair of half a metre, which bends over shoulders in 5."""
NEIGHBOURS = 24
"""Roots that choose together: a square of some four centimetres of scalp combs its hair one way."""
ROUNDS = 2
"""Times that all roots choose, beside what the others chose before."""
_PIECES = 6
"""Straight pieces of each segment of a lock, as in the search: closer to each other than a view's pixels."""
_COMBED_WITH, _COMBED = 7, 0.3
"""Neighbours, and the share of their median way from root to tip in a guide's own."""
_KINK = 0.03
"""Of a guide's length: shorter turns are the growth's window moving over chest and shoulders, no hair's."""
_STRAIGHT = 0.002
"""Metres: waves of less are none; a lock is four times as wide."""
_PER_WAVE = 6
"""Points of each wave: four tell it, and six make it round."""
_ANY_SIDE = np.array([1e-4, 0.0, 3e-5])
"""Metres: a side for strands that run straight away from the head. Any will do that is far below a hair's width."""
_BARE_FACE = 1.0
"""What hair before the bare face costs beyond hair anywhere else where the photo shows none."""
_COVERED = 0.2
"""What a point in hair is worth that other guides show already, of one that none does."""
_AROUND, _MEET = 6, 0.6
"""A lock reaches to this share of the way to its sixth neighbour: random discs of this size cover nearly nine tenths.
"""
_EDGE = 0.5
"""Of the way to the sixth neighbour: where the middle of the neighbours lies further away, the hair ends."""
_SHORT = 0.015
"""Metres of hair on skin that is not seen bare though all of its hair would lie where photos show none: as short as a
crew cut, so that no hole is left where the fitted skull is too large."""
_MIRRORED = np.array([-1.0, 1.0, 1.0])
"""Hair lines are alike on both sides: what the photos hardly see of one is taken from the other."""
_HEARSAY = 0.1
"""What the nearest scalp that photos see says of a root that they do not, of what they say of one that they see well:
bald tops are bald behind their edge, too."""
_HIGH = 0.02
"""Metres above the usual hair line: lower bare skin is a forehead, and says nothing of the scalp."""
_APART = 0.01
"""Metres to which photos place a root."""
_LEVEL = np.array([1.0, 3.0, 1.0])
"""A way up or down counts so much more than one as long round the head: a ring of hair runs level."""
_ROPES = 0.2
"""Locks that taper by less of their width are ropes (dreadlocks: 0 to 0.15; all other styles: 0.3 and more)."""
_LONGER, _FULLER = 1.35, 1.5
"""Lengths and volumes of the variants, of the fitted ones: what is too much is cut, what is missing cannot be."""


def fit_guides(template: Template, neutral: np.ndarray, style: FittedStyle, views: Sequence[HairView]) -> np.ndarray:
    """(G, GUIDE_POINTS, 3) guides, metres, roots first; only where hair grows.

    Each root chooses, with its neighbours, among the fitted style's variants; then all move to the photos' outlines
    (``to_outlines``), and each ends where most photos that see it show something else than hair. What no photo sees
    stays as the style has it.
    """
    roots = _scalp_roots(template)
    variants = _variants(style)
    lines = lock_lines(template, neutral, variants, lock_noise(len(roots)), roots)
    fine = resampled(lines, _PIECES).numpy()  # (K, G, Q, 3)
    count, guides, samples = fine.shape[:3]
    growing = fine[0, np.isfinite(fine[0, :, 0, 0])]
    away = float(lock_radius(growing, lock_widths(growing[:, 0], style.style)).mean()) / 2  # of a usual hair
    outlines, views = views, [_locks_beside_face(view, away) for view in views]
    votes = [_votes(fine, view) for view in views]  # each (K, G, Q): hair, in [-1, 1], 0 where nothing is seen
    near = cKDTree(_flat(roots)).query(_flat(roots), k=min(NEIGHBOURS, guides))[1]
    chosen = np.zeros(guides, int)
    ends = np.stack([_ends(sum(vote[k] * view.trust for vote, view in zip(votes, views, strict=True)))
                     for k in range(count)])  # fmt: skip
    index = np.arange(samples)
    for _ in range(ROUNDS):
        current = fine[chosen, np.arange(guides)].copy()
        current[index >= ends[chosen, np.arange(guides)][:, None]] = np.nan
        gain = np.zeros((count, guides))
        for vote, view in zip(votes, views, strict=True):
            shown = silhouettes(current.reshape(1, -1, 3), view)[0]
            covered = _looked_up(shown.astype(np.float32), fine, view)
            worth = np.where(vote > 0, vote * (1 - (1 - _COVERED) * covered), vote)
            gain += view.trust * np.where(index < ends[..., None], worth, 0.0).sum(-1)
        gain = gain[:, near].mean(-1)
        gain[0] += 1e-6 + 0.02 * np.abs(gain).mean()  # without a reason the fitted style itself
        chosen = gain.argmax(0)
    line = fine[chosen, np.arange(guides)]
    rooted = np.isfinite(line[:, 0, 0])
    line, roots = _smooth(_combed(line[rooted])), roots[rooted]
    head = closed_head(neutral.astype(np.float64), template)
    line = outside(line, *head)  # a skull hides no hair: it lies on it
    ends = _ends(_trusted(line, views))
    height = lock_height(line, lock_widths(line[:, 0], style.style))
    line = to_outlines(line, height, ends, outlines, _skull(template, neutral))
    line = outside(line, *head)
    votes = _trusted(line, views)
    end, beside = _ends(votes), _beside(line[:, 0])
    usual = np.median(end[beside], axis=1)  # no gap in hair and no lonely hair beside it
    bare = votes <= -0.5 * (1 + _BARE_FACE) * sum(view.trust for view in views)  # to half of the photos: the face
    before_face = np.where(bare.any(1), bare.argmax(1), bare.shape[1])
    end = np.where(usual < 2, usual, np.where(end < 2, np.minimum(usual, before_face), end)).astype(int)
    normals = skin_normals(line[:, 0], *head)
    root, clear = (value[beside].mean(1) for value in _at_roots(line[:, 0], normals, views))
    mirror = cKDTree(line[:, 0]).query(line[:, 0] * _MIRRORED)[1]
    share = np.clip(1 - clear / np.maximum(clear[mirror], 1e-9), 0, 1)  # taken from the side that is seen better
    root = (1 - share) * root + share * root[mirror] + _hearsay(template, roots, line[:, 0], root, clear)
    short = 1 + (np.cumsum(_steps(line), 1) < _SHORT).sum(1)
    end = np.where((end < 2) & (root >= 0), np.maximum(np.round(share * end[mirror]), short), end).astype(int)
    end[root < 0] = 0  # most photos show bare skin at the roots
    kept = np.flatnonzero(end >= 2)
    if not len(kept):
        return np.zeros((0, GUIDE_POINTS, 3), np.float32)
    return np.stack([_evenly(line[g, : end[g]]) for g in kept]).astype(np.float32)


def lock_widths(roots: np.ndarray, style: Style) -> np.ndarray:
    """(G,) float32 metres across the locks of guides with roots (G, 3): of a style whose locks taper they are so wide
    that no scalp shows between them; ropes are as wide as the style's and stand apart.

    Locks at the edge of the hair are no wider than the style's, so that they do not grow beyond it.
    """
    own = 0.5 * sum(style.width)
    if len(roots) <= _AROUND or 0.5 * sum(style.taper) < _ROPES:
        return np.full(len(roots), own, np.float32)
    distance, near = cKDTree(roots).query(roots, k=_AROUND + 1)
    reach = distance[:, -1]
    edge = np.linalg.norm(roots[near[:, 1:]].mean(1) - roots, axis=1) > _EDGE * reach
    return np.where(edge, own, np.maximum(own, 2 * _MEET * reach)).astype(np.float32)


def _combed(guides: np.ndarray) -> np.ndarray:
    """Guides (G, P, 3) that run as their neighbours do: none stands out of the hair alone."""
    way = guides - guides[:, :1]
    return guides[:, :1] + (1 - _COMBED) * way + _COMBED * np.median(way[_beside(guides[:, 0])], axis=1)


def _beside(roots: np.ndarray) -> np.ndarray:
    """(G, K) the nearest of roots (G, 3), each itself first."""
    return cKDTree(roots).query(roots, k=min(_COMBED_WITH, len(roots)))[1].reshape(len(roots), -1)


def _smooth(guides: np.ndarray) -> np.ndarray:
    """Guides (G, P, 3) without turns shorter than ``_KINK``; roots stay."""
    count = guides.shape[1]
    smooth = gaussian_filter1d(guides, _KINK * count, axis=1, mode="nearest")
    share = np.clip(np.arange(count) / (2 * _KINK * count), 0, 1)[:, None]  # the filter knows nothing before the root
    return guides + share * (smooth - guides)


def _scalp_roots(template: Template) -> np.ndarray:
    """(GUIDES, 2) azimuth and s, evenly over all that may have hair."""
    hull = head_hull(template)
    place = lock_noise(GUIDES).place
    azimuth = (place[:, 0] - 0.5) * 2 * np.pi
    return np.stack([azimuth, place[:, 1] ** 0.62 * (hull.line(azimuth, hull.hairline) + 0.02)], 1)


def _skull(template: Template, neutral: np.ndarray) -> np.ndarray:
    """(3,) the middle of the scalp: a place within the skull, at the height where it is widest."""
    scalp = template.regions["scalp"][: template.head.vertex_stop] > 0.5
    return neutral[: template.head.vertex_stop][scalp].mean(0)


def _flat(roots: np.ndarray) -> np.ndarray:
    """Roots in a plane, metres from the crown."""
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


def _looked_up(picture: np.ndarray, points: np.ndarray, view: HairView) -> np.ndarray:
    """Values (...,) of a picture (H, W) at the pixels of points (..., 3); 0 beside it."""
    pixel = view.camera.project(np.nan_to_num(points, nan=1e3))
    height, width = picture.shape
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (pixel[..., 2] > 0)
    return np.where(inside, picture[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0)


def _votes(points: np.ndarray, view: HairView) -> np.ndarray:
    """(...,) of points (..., 3): 1 in the photo's hair, -1 in what is none, 0 where head, chest or hand hides it."""
    depth = view.camera.project(np.nan_to_num(points, nan=1e3))[..., 2]
    told = _looked_up((2 * view.hair - 1 - _BARE_FACE * view.face) * view.known, points, view)
    before = depth < _looked_up(np.where(np.isfinite(view.depth), view.depth, 1e6), points, view) + 0.006
    return told * before


def _at_roots(roots: np.ndarray, normals: np.ndarray, views: Sequence[HairView]) -> tuple[np.ndarray, np.ndarray]:
    """(G,) the votes at roots (G, 3) of skin with ``normals`` (G, 3), each photo's by how squarely it sees that skin,
    and (G,) how well all of them see it: 0 for not at all."""
    vote, clear = np.zeros(len(roots)), np.zeros(len(roots))
    for view in views:
        weight = view.trust * np.maximum(facing_cosine(roots, normals, view.camera), 0)
        here = np.minimum(view.hair + view.face, 1)  # what shows neither is no head: the fitted one is too large there
        vote += weight * _votes(roots, replace(view, known=view.known * here))
        clear += weight * _votes(roots, replace(view, hair=np.ones_like(view.hair), face=np.zeros_like(view.face)))
    return vote, clear


def _hearsay(
    template: Template, roots: np.ndarray, places: np.ndarray, vote: np.ndarray, clear: np.ndarray
) -> np.ndarray:
    """(G,) what the scalp around says of roots (G, 2) at ``places`` (G, 3), as a vote that counts where photos say
    nothing: what the votes (G,) of roots that are seen so clearly (G,) say, mostly the nearest."""
    hull = head_hull(template)
    high = roots[:, 1] < hull.line(roots[:, 0], hull.hairline) - _HIGH
    well = np.quantile(clear, 0.9)
    seen = np.minimum(clear[high] / max(_HEARSAY * well, 1e-9), 1)
    told = np.clip(vote[high] / np.maximum(clear[high], 1e-9), -1, 1)
    near = 1 / (cdist(places * _LEVEL, places[high] * _LEVEL, "sqeuclidean") + _APART**2) ** 2
    return _HEARSAY * well * (near @ (seen * told)) / np.maximum(near @ seen, 1e-9)


def _locks_beside_face(view: HairView, away: float) -> HairView:
    """The view with a bare face that reaches ``away`` metres farther: guides end there, and their hairs beside it."""
    face = cv2.dilate(view.face, disc(max(1, round(away * view.pixels_per_metre))))
    return replace(view, face=face, hair=np.minimum(view.hair, 1 - face))


def _trusted(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(...,) the votes of all photos, by their trust."""
    return sum(_votes(points, view) * view.trust for view in views)


def _ends(votes: np.ndarray) -> np.ndarray:
    """(G,) how many of the samples (G, Q) belong to a guide: up to where hair, by the sum of votes so far, is most."""
    total = np.cumsum(votes + 1e-3, axis=1)
    return np.where(total.max(1) > 0, total.argmax(1) + 1, 0)


def _evenly(line: np.ndarray) -> np.ndarray:
    """(GUIDE_POINTS, 3) evenly along a line (Q, 3)."""
    return points_along(line, np.linspace(0, arc_length(line)[-1], GUIDE_POINTS))


def curled(guides: np.ndarray, style: Style, seed: int = 0) -> np.ndarray:
    """Guides (G, P, 3) with the waves of a style, metres: as many points as these need, at most ``MOST_POINTS``."""
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
    """Lines (G, P, 3) with ``count`` points each, evenly between the given ones."""
    place = np.linspace(0, lines.shape[1] - 1, count)
    low = np.minimum(place.astype(int), lines.shape[1] - 2)
    t = (place - low)[:, None]
    return lines[:, low] * (1 - t) + lines[:, low + 1] * t


def _steps(lines: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(lines, axis=1), axis=-1)


def _length(lines: np.ndarray) -> np.ndarray:
    return _steps(lines).sum(1)
