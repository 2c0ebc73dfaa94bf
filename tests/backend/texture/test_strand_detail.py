"""Hair of coarse photos: strands stay, what is bright or dark over whole locks goes."""

import numpy as np

from backend.texture.compose import _as_strands


def test_locks_lose_what_is_more_than_strands() -> None:
    detail = np.array([[-0.9, -0.9, -0.9], [0.8, 0.8, 0.8], [0.05, 0.05, 0.05], [0.2, 0.0, -0.2]])
    found = _as_strands(detail, np.ones((4, 1)))
    assert np.abs(found[:2]).max() <= 0.2 and found[0, 0] < -0.15 and found[1, 0] > 0.15
    assert np.allclose(found[2], 0.05, atol=0.002), "fine differences stay"
    assert 0.02 < found[3, 0] < 0.1 and np.isclose(found[3, 0], -found[3, 2]), "a tint is less of one"


def test_sharp_photos_and_skin_keep_theirs() -> None:
    detail = np.random.default_rng(0).normal(size=(50, 3))
    assert np.array_equal(_as_strands(detail, np.zeros((50, 1))), detail)
    half = _as_strands(detail, np.full((50, 1), 0.5))
    assert np.allclose(half, 0.5 * (detail + _as_strands(detail, np.ones((50, 1)))))
