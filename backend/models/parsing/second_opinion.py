"""Fusion of two parsing nets on large classes: they use different features and make different errors."""

from __future__ import annotations

import numpy as np

from backend.photos.collection import FaceClass

_LARGE_CLASSES = (FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.HAIR, FaceClass.OCCLUDER)
"""Large classes. For fine parts and accessories the first net's result stays, because classifiers and thresholds are
made for it. It is also better on ears and necks."""
_SECOND_WEIGHT = 0.7
"""Weight of the second net where it is sure of such a class. On held-out portraits 0.5 to 0.8 are nearly as good."""


def with_second_opinion(probabilities: np.ndarray, opinion: np.ndarray) -> np.ndarray:
    """(C, S, S) float32 class probabilities of one net, with those of large classes averaged with another's.

    Other classes than ``_LARGE_CLASSES`` do not change: the first net's sum over these classes stays, and the second
    net's weight is proportional to its own sum.
    """
    places = list(_LARGE_CLASSES)
    own, theirs = probabilities[places], opinion[places]
    own_sum, their_sum = own.sum(axis=0), theirs.sum(axis=0)
    share = _SECOND_WEIGHT * their_sum
    result = probabilities.copy()
    result[places] = (1 - share) * own + share * own_sum * theirs / np.maximum(their_sum, 1e-6)
    return result
