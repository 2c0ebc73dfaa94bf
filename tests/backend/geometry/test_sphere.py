"""Directions spread over the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.vectors import spread_directions


def test_directions_are_units_that_cancel_and_keep_their_distance() -> None:
    directions = spread_directions(100)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(100))
    assert np.abs(directions.mean(0)).max() < 0.01
    nearest = np.sort(directions @ directions.T, axis=1)[:, -2]
    assert np.degrees(np.arccos(nearest)).min() > 15.0  # a hundred even patches are 23 degrees across
