"""Votes of photographs about points beside the head: hair or not, on the point's own side and on the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.hair.hair_views import HairView

BARE_FACE = 1.0
"""Extra cost of hair in front of the bare face, on top of the cost of hair anywhere that the photo shows none."""
MIRRORED = np.array([-1.0, 1.0, 1.0])
"""Reflection in the head's mid-plane."""
_ALIKE = 0.93
"""Correlation over people between hair at a point and at its mirror image (95 %: 0.86 to 0.98), for 24 people with
four photos each and points up to 5 cm from the head: that of two photos' votes at mirrored points, 0.52, divided by
that at the same points, 0.56. It is 0.96 beside and below the ears and 0.77 over the forehead."""
_ONE_PHOTO = 0.8
"""Variance of one photo's error about the person's hair, relative to the variance over people: 1 / 0.56 - 1."""


def looked_up(picture: np.ndarray, points: np.ndarray, view: HairView) -> np.ndarray:
    """Values (...,) of a picture (H, W) at the pixels of points (..., 3); 0 outside the picture."""
    pixel = view.camera.project(np.nan_to_num(points, nan=1e3))
    height, width = picture.shape
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (pixel[..., 2] > 0)
    return np.where(inside, picture[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0)


def votes(points: np.ndarray, view: HairView) -> np.ndarray:
    """(...,) votes of a view at points (..., 3): 1 on the photo's hair, -1 elsewhere (lower on the bare face), 0 where
    head, chest or hand occludes the point."""
    depth = view.camera.project(np.nan_to_num(points, nan=1e3))[..., 2]
    told = looked_up((2 * view.hair - 1 - BARE_FACE * view.face) * view.known, points, view)
    before = depth < looked_up(np.where(np.isfinite(view.depth), view.depth, 1e6), points, view) + 0.006
    return told * before


def trusted(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(...,) sum of all views' votes at points (..., 3), weighted by trust."""
    return sum(votes(points, view) * view.trust for view in views)


def from_both_sides(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(...,) ``trusted`` votes at points (..., 3) of the neutral head, plus those ``from_other_side``."""
    return trusted(points, views) + from_other_side(points, views)


def from_other_side(points: np.ndarray, views: Sequence[HairView]) -> np.ndarray:
    """(...,) votes of all views at the mirror images of points (..., 3), weighted by trust and ``mirrors_worth``: hair
    that no photo shows is like the hair on the other side.

    There the bare face has no extra cost, because partings and fringes are the least symmetric.
    """
    mirrored = [(np.maximum(votes(points * MIRRORED, view), -1), view.trust) for view in views]
    seen = sum((vote != 0) * trust for vote, trust in mirrored)
    return mirrors_worth(seen) * sum(vote * trust for vote, trust in mirrored)


def mirrors_worth(seen: np.ndarray) -> np.ndarray:
    """(...,) weight of votes at a point's mirror image relative to votes at the point itself.

    Photos with a total trust ``seen`` (...,) tell the hair at the mirror image with a variance of ``_ONE_PHOTO`` /
    ``seen``; hair at the point itself differs from it by ``1 - _ALIKE**2`` more, which no number of photos lessens.
    """
    return _ALIKE**2 / (1 + seen * (1 - _ALIKE**2) / _ONE_PHOTO)
