"""A second parsing net has a say in large things, and in nothing that is fine or worn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backend.models.parsing.apply import with_second_opinion
from backend.photos.collection import FaceClass

FINE = (FaceClass.BROWS, FaceClass.EYES, FaceClass.GLASSES, FaceClass.LIPS, FaceClass.FACIAL_HAIR)


def _random(seed: int) -> np.ndarray:
    """(C, 4, 4) probabilities, some of them nearly 0 and 1."""
    odds = np.exp(4 * np.random.default_rng(seed).normal(size=(len(FaceClass), 4, 4)))
    return (odds / odds.sum(0)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_what_is_fine_stays_and_probabilities_stay_probabilities(seed: int, other: int) -> None:
    own = _random(seed)
    both = with_second_opinion(own, _random(other))
    np.testing.assert_array_equal(both[list(FINE)], own[list(FINE)])
    np.testing.assert_allclose(both.sum(0), 1.0, atol=1e-5)
    assert both.min() >= 0


def test_of_hair_that_only_the_second_sees_most_is_believed() -> None:
    own, opinion = np.zeros((2, len(FaceClass), 1, 2), np.float32)
    own[FaceClass.BACKGROUND] = 1.0
    opinion[FaceClass.HAIR, 0, 0] = opinion[FaceClass.GLASSES, 0, 1] = 1.0
    both = with_second_opinion(own, opinion)
    assert 0.5 < both[FaceClass.HAIR, 0, 0] < 0.9
    np.testing.assert_allclose(both.sum(0), 1, atol=1e-6)
    assert both[FaceClass.BACKGROUND, 0, 1] == 1.0  # glasses are not its business
