"""Two parsing nets on what is hair and what is not: they learnt on different features and err in different places."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass

_IN_QUESTION = (FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER)
"""Large things. What is fine, or worn, stays the first net's: its classifiers and thresholds are made for that. Of ears
and necks it knows more."""
_SHARE = 0.7
"""The second net's, where it is sure that it sees one of them. On held-out portraits 0.5 to 0.8 do nearly as well."""


def with_second_opinion(probabilities: np.ndarray, opinion: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities of one net, large things averaged with another's.

    What either net gives to other classes than ``_IN_QUESTION`` changes nothing there: the first net's sum over these
    classes stays, and the second counts as far as it sees one of them.
    """
    places = list(_IN_QUESTION)
    own, theirs = probabilities[places], opinion[places]
    own_sum, their_sum = own.sum(axis=0), theirs.sum(axis=0)
    share = _SHARE * their_sum
    result = probabilities.copy()
    result[places] = (1 - share) * own + share * own_sum * theirs / np.maximum(their_sum, 1e-6)
    return result
