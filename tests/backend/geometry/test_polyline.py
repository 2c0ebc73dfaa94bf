"""Polylines by the length along them."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.vectors import arc_length, points_along

LINE = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 6.0]])


def test_length_counts_from_the_first_point() -> None:
    assert arc_length(LINE) == pytest.approx([0.0, 5.0, 7.0])


def test_points_lie_at_their_lengths_and_beyond_the_end_at_the_last() -> None:
    assert points_along(LINE, np.array([0.0, 2.5, 6.0, 9.0])) == pytest.approx(
        np.array([[0.0, 0.0], [1.5, 2.0], [3.0, 5.0], [3.0, 6.0]])
    )
