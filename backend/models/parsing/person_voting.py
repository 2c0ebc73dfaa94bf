"""Per-person voting on glasses, moustache and beard over all photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

import numpy as np

from backend.models.parsing.accessories import AccessoryScores

_LARGEST_VOTE = (2.0, 4.0, 4.0)
"""Largest log odds that a person's other photos add to those of one photo, for glasses, which come and go, moustache
and beard, which stay. Of the decisions on 834 press photos (``evaluate parsing --press``) 10 moustaches are missed and
2 invented with 2, 8 and none with 4; beards 17 and 16 missed, none invented."""


def vote_over_photos(scores: Sequence[AccessoryScores | None]) -> tuple[AccessoryScores | None, ...]:
    """Each photo's scores with the votes of the person's other photos added.

    A vote is the hyperbolic tangent of half the log odds: probability for minus probability against. The mean vote
    counts at most ``_LARGEST_VOTE``, so that a confident photo is not overruled, because people shave.
    """
    known = np.array([(np.nan,) * 3 if each is None else astuple(each) for each in scores]).reshape(-1, 3)
    votes = np.tanh(known / 2)
    others = np.nansum(votes, axis=0) - np.nan_to_num(votes)
    count = np.maximum((~np.isnan(votes)).sum(axis=0) - ~np.isnan(votes), 1)
    changed = known + np.array(_LARGEST_VOTE) * others / count
    return tuple(
        None if was is None else AccessoryScores(*map(float, row)) for was, row in zip(scores, changed, strict=True)
    )


def same_decisions(one: AccessoryScores | None, other: AccessoryScores | None) -> bool:
    """Whether both have the same decisions."""
    if one is None or other is None:
        return one is other
    return all((a > 0) == (b > 0) for a, b in zip(astuple(one), astuple(other), strict=True))
