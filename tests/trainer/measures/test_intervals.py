"""Bootstrap intervals of means and ratios."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.measures.metrics import mean_interval, ratio_interval


def test_the_interval_of_a_mean_is_as_wide_as_its_error() -> None:
    found = mean_interval(np.arange(100.0))
    assert found.value == 49.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.arange(100.0).std() / 10, rel=0.05)
    assert found.figures("a.b") == {"a.b": 49.5, "a.b.low": found.low, "a.b.high": found.high}


def test_people_without_a_figure_are_left_out() -> None:
    found = mean_interval(np.array([0.5, 0.5, np.nan]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(mean_interval(np.array([np.nan])).value)
    assert np.isnan(ratio_interval(np.array([np.nan]), np.array([1.0])).value)


def test_the_interval_of_a_ratio_narrows_with_people() -> None:
    generator = np.random.default_rng(0)
    below = generator.random(400) + 1
    above = 0.9 * below + 0.1 * generator.standard_normal(400)
    above[0] = np.nan
    found, few = ratio_interval(above, below), ratio_interval(above[:20], below[:20])
    assert found.low < found.value < found.high and found.value == pytest.approx(0.9, abs=0.02)
    assert found.high - found.low < few.high - few.low
