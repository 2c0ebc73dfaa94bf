"""Blinks that were found, that show, and that never were."""

import numpy as np
import pytest

from protocol.names import LIDS
from trainer.methods.expressions.evaluate import (
    BlinkCounts,
    blink_figures,
    count_blinks,
    different_pixels,
    share_interval,
)


def test_blinks_are_counted_by_closed_lids() -> None:
    truth, found = np.zeros((2, 20, 52))
    truth[np.ix_([4, 5, 12], LIDS)] = 0.9
    found[np.ix_([6, 17], LIDS)] = 0.8
    assert count_blinks(truth, found, np.full(20, 40)) == BlinkCounts(2, 1, 2, 1, 1)


def test_a_blink_shows_where_pictures_differ_from_open_eyes() -> None:
    truth = np.zeros((20, 52))
    truth[np.ix_([4, 5, 12], LIDS)] = 0.8
    truth[5] *= 1.2
    lid_pixels = np.zeros(20, int)
    lid_pixels[5] = 30
    assert count_blinks(truth, truth, lid_pixels) == BlinkCounts(2, 2, 1, 1, 0)
    assert count_blinks(truth, np.zeros_like(truth), lid_pixels) == BlinkCounts(2, 0, 1, 0, 0)


def test_pictures_differ_by_pixels_that_anybody_sees() -> None:
    pictures = np.full((2, 8, 8, 3), 100, np.uint8)
    others = pictures.copy()
    others[0] += 10  # a little more light
    others[1, :2, :3, 1] = 60
    np.testing.assert_array_equal(different_pixels(pictures, others), [0, 6])


def test_shares_come_with_intervals() -> None:
    assert share_interval(90, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson
    assert share_interval(10, 10)[1] == pytest.approx(1.0)
    figures = blink_figures("clips", BlinkCounts(20, 18, 10, 10, 1), 60.0)
    assert figures["clips.blinks_found"] == 0.9
    assert figures["clips.blinks_found_showing"] == 1.0
    assert figures["clips.blinks_found_low"] < 0.9 < figures["clips.blinks_found_high"]
    assert figures["clips.blinks_false_per_minute"] == 1.0
