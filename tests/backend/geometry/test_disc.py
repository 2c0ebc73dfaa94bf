"""The round structuring element."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.vectors import disc


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12])
def test_a_disc_holds_what_is_within_its_radius(radius: int) -> None:
    found = disc(radius)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    away = np.hypot(x, y)
    assert found.shape == away.shape and found.dtype == np.uint8
    assert (found[away <= radius - 0.5] == 1).all()
    assert (found[away > radius + 0.75] == 0).all()
    assert (found == found[::-1]).all() and (found == found[:, ::-1]).all()
