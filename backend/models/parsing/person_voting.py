"""Per-person voting on glasses, moustache, beard and hat over all photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.models.parsing.accessories import AccessoryScores
from backend.models.parsing.headwear import vote_on_hats

_LARGEST_VOTE = (2.0, 4.0, 4.0)
"""Largest log odds that a person's other photos add to those of one photo, for glasses, which come and go, moustache
and beard, which stay. Of the decisions on 834 press photos (``evaluate parsing --press``) 10 moustaches are missed and
2 invented with 2, 8 and none with 4; beards 17 and 16 missed, none invented."""


def vote_over_photos(scores: Sequence[AccessoryScores | None]) -> tuple[AccessoryScores | None, ...]:
    """Each photo's scores with the votes of the person's other photos added.

    A vote is the hyperbolic tangent of half the log odds: probability for minus probability against. The mean vote
    counts at most ``_LARGEST_VOTE``, so that a confident photo is not overruled, because people shave. Hats have a vote
    of their own (``vote_on_hats``).
    """
    known = np.array([(np.nan,) * 3 if each is None else _scores(each) for each in scores]).reshape(-1, 3)
    hats = vote_on_hats([None if each is None else each.headwear for each in scores])
    votes = np.tanh(known / 2)
    others = np.nansum(votes, axis=0) - np.nan_to_num(votes)
    count = np.maximum((~np.isnan(votes)).sum(axis=0) - ~np.isnan(votes), 1)
    changed = known + np.array(_LARGEST_VOTE) * others / count
    return tuple(
        None if was is None else AccessoryScores(*map(float, row), hat)
        for was, row, hat in zip(scores, changed, hats, strict=True)
    )


def decide_alike(one: AccessoryScores | None, other: AccessoryScores | None) -> bool:
    """Whether both have the same decisions."""
    if one is None or other is None:
        return one is other
    if any((a > 0) != (b > 0) for a, b in zip(_scores(one), _scores(other), strict=True)):
        return False
    return _hat(one) == _hat(other)


def _scores(worn: AccessoryScores) -> tuple[float, float, float]:
    return worn.glasses, worn.moustache, worn.beard


def _hat(worn: AccessoryScores) -> bool:
    return worn.headwear is not None and worn.headwear.score > 0
