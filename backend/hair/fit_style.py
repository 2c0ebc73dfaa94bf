"""Fit the style model to photographs: search for the hairstyle whose silhouettes match the photos'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.hair.grow import grow, lock_paths, places_along
from backend.hair.hair_views import HairView, along_hair, silhouettes
from backend.hair.hull import HeadHull, beside_ear, gap_to_skin, head_hull, hull_surface
from backend.hair.locks import OUT, Locks
from backend.hair.style_model import (
    MOST_LAYER,
    LockNoise,
    StyleFamily,
    known_places,
    lock_noise,
    style_family,
    styled_hair,
)
from backend.hair.styles import Style

NO_FIXED_NUMBERS: Mapping[str, float] = MappingProxyType({})
SEGMENTS = 10
"""Straight segments of a growing lock: 5 cm each in hair of half a metre."""
SEARCH_LOCKS = 160
"""Locks of each candidate style. The random choice of fringe and long locks changes its error by 0.02, with 640 locks
by hardly less, because the outermost locks alone form the outline."""
MOST_VIEWS = 5
"""Photos used by the search, those with the highest weights; guides are cut by all photos."""
PIECES = 6
"""Pieces per segment, so that points lie closer together than a view's pixels."""
DRAWS = 3
"""Candidates of each style in the first generation."""
GENERATIONS, CHILDREN, PARENTS = 9, 32, 8
"""345 candidates are tried in total. With 825 the best gains 0.006 of overlap on the fitted photos and nothing on
held-out ones."""
_STEP, _COOLING = 0.10, 0.9
"""Mutation step of the first generation, in units of the numbers' ranges, and factor from generation to generation."""
DIRECTION_WEIGHT = 0.2
"""Weight of perfect agreement of the strands' directions, relative to a perfect outline."""
FAMILY_WEIGHT = 0.1
"""Weight of the squared distance to the style family, in units of the numbers' ranges: a third of a range costs as much
as a hundredth of the outlines' overlap."""


@dataclass(frozen=True)
class FittedStyle:
    """The style that explains the photos best.

    Attributes
    ----------
    point : (D,) in the unit box of ``style_model.NUMBERS``. style : the named style that it belongs to.
    others : (K, D) points that explain the photos nearly as well, best first, starting with ``point`` itself.
    """

    point: np.ndarray
    style: Style
    others: np.ndarray


def fit_style(
    template: Template,
    neutral: np.ndarray,
    views: Sequence[HairView],
    known: Mapping[str, float] = NO_FIXED_NUMBERS,
    seed: int = 0,
    style: str | None = None,
) -> FittedStyle:
    """Search the style model for the hair whose silhouettes match those of the views.

    An evolution strategy: the first generation has ``DRAWS`` members of each style; each later one is drawn around the
    best so far, with steps that follow their differences.

    neutral : (V, 3) vertices, head frame, metres. known : numbers of ``style_model.NUMBERS`` that are fixed, in their
    own units. style : the name of the only hairstyle to search; None: all.
    """
    which, fixed = known_places(known)
    views = sorted(views, key=lambda view: -view.trust)[:MOST_VIEWS]
    family, noise = style_family(style), lock_noise(SEARCH_LOCKS)
    generator = np.random.default_rng(seed)
    draws = max(DRAWS, -(-2 * PARENTS // len(family.styles)))
    drawn = family.low[:, None] + (family.high - family.low)[:, None] * generator.random(
        (len(family.styles), draws, family.low.shape[1])
    )
    points = drawn.reshape(-1, drawn.shape[-1])
    points[:, which] = fixed
    errors = style_errors(template, neutral, points, views, family, noise)
    for generation in range(GENERATIONS):
        order = np.argsort(errors, kind="stable")[: PARENTS if generation else 2 * PARENTS]
        points, errors = points[order], errors[order]
        children = _children(points, generator, _STEP * _COOLING**generation)
        children[:, which] = fixed
        new = style_errors(template, neutral, children, views, family, noise)
        points, errors = np.concatenate([points, children]), np.concatenate([errors, new])
    order = np.argsort(errors, kind="stable")[:PARENTS]
    best = points[order[0]]
    return FittedStyle(best, family.nearest(best), points[order])


def _children(points: np.ndarray, generator: np.random.Generator, step: float) -> np.ndarray:
    """(CHILDREN, D) members of the next generation: half cross over (follow the difference of two other parents), half
    mutate a few numbers strongly."""
    size = (CHILDREN, points.shape[1])
    parent, one, other = points[generator.integers(0, len(points), (3, CHILDREN))]
    crossed = (generator.random(size) < 0.5) * (0.6 * (one - other) + step * generator.standard_normal(size))
    changed = (generator.random(size) < 0.12) * (4 * step * generator.standard_normal(size))
    few = np.arange(CHILDREN)[:, None] % 2 == 0
    return np.clip(parent + np.where(few, changed, crossed), 0, 1)


def style_errors(
    template: Template,
    neutral: np.ndarray,
    points: np.ndarray,
    views: Sequence[HairView],
    family: StyleFamily,
    noise: LockNoise,
) -> np.ndarray:
    """(N,) objective of the search, to be minimised: 1 minus the views' weighted mean agreement, plus a penalty for the
    distance to the style family."""
    strands = grown(template, neutral, points, noise)
    overlap, along = outline_overlap(strands, views), direction_agreement(strands, views)
    trust = np.array([view.trust for view in views]) * np.isfinite(overlap)
    value = np.nan_to_num(overlap) + DIRECTION_WEIGHT * along
    mean = (value * trust).sum(1) / np.maximum(trust.sum(1), 1e-9)
    return 1 - mean + FAMILY_WEIGHT * family.style_penalty(points)


def grown(template: Template, neutral: np.ndarray, points: np.ndarray, noise: LockNoise) -> np.ndarray:
    """(N, M, 3) points along the centre lines of the locks of points (N, D), metres; NaN for empty locks."""
    return resampled(lock_lines(template, neutral, points, noise), PIECES).flatten(1, 2).numpy()


def lock_lines(
    template: Template, neutral: np.ndarray, points: np.ndarray, noise: LockNoise, roots: np.ndarray | None = None
) -> Tensor:
    """(N, L, SEGMENTS + 1, 3) centre lines of the locks of points (N, D), metres; NaN for empty locks.

    roots : (L, 2) azimuth and s on the hull, the same for all N; None: spread evenly within each head's hairline.
    """
    hull = head_hull(template)
    hair = styled_hair(points, hull, noise, roots)
    surface = hull_surface(hull, torch.from_numpy(neutral[: template.head.vertex_stop]).float()[None], hair.ears)
    lines = [torch.from_numpy(line).float() for line in (hull.hairline, hull.brow_line)]
    azimuth, s, height = grow(hair.locks, hair.flow, *lines, SEGMENTS)
    height = height - _below_others(hull, hair.locks, azimuth, s)
    paths, _ = lock_paths(surface, hair.locks, azimuth, s, height)
    return torch.where((hair.locks.length < 1e-4)[..., None, None], torch.nan, paths)


def _below_others(hull: HeadHull, locks: Locks, azimuth: Tensor, s: Tensor) -> Tensor:
    """(N, L, SEGMENTS + 1) metres by which locks lie below the hull, at their azimuths and s. Each lock begins on the
    skin, so that hair of the nape hangs under the hair above. Beside ears no lock is lower."""
    length = locks.length[..., None]
    share = (length * torch.tensor(places_along(SEGMENTS)) / (0.5 * length).clamp(1e-4, OUT)).clamp(max=1)
    layer = torch.minimum(locks.base, torch.as_tensor(MOST_LAYER))[..., None] * (1 - share)
    gap = gap_to_skin(hull, azimuth, s).cummin(-1).values  # once the neck has pushed a lock out, it stays out
    return (layer + gap) * (1 - beside_ear(hull, locks.azimuth, locks.s))[..., None]


def resampled(paths: Tensor, pieces: int) -> Tensor:
    """Paths (..., P, 3) with each segment divided into ``pieces``: (..., (P - 1) * pieces, 3)."""
    t = (torch.arange(pieces) / pieces)[:, None]
    fine = paths[..., :-1, None, :] * (1 - t) + paths[..., 1:, None, :] * t
    return fine.flatten(-3, -2)


def outline_overlap(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(N, V) intersection over union of the silhouettes of strands with points (N, M, 3) and the photos' hair, over
    unoccluded pixels; nan where both are empty."""
    columns = []
    for view in views:
        drawn = silhouettes(points, view).reshape(len(points), -1).astype(np.float32)
        seen, known = (view.hair * view.known).ravel(), view.known.ravel()
        both = drawn @ seen
        either = drawn @ known + seen.sum() - both
        columns.append(np.where(either > 1.0, both / np.maximum(either, 1e-6), np.nan))
    return np.stack(columns, 1)


def direction_agreement(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(N, V) mean cosine of twice the angle between strands with points (N, M, 3) and the photos' strands, weighted by
    how clear the photos' direction is: 1 parallel, 0 random or not drawn, -1 perpendicular."""
    columns = []
    for view in views:
        clear = (np.linalg.norm(view.direction, axis=-1) * view.hair * view.known).sum()
        columns.append(along_hair(points, SEGMENTS * PIECES, view) / max(clear, 1e-6))
    return np.stack(columns, 1)
