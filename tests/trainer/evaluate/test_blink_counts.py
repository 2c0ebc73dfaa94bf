"""Blinks that were found, that show, and that never were."""

import numpy as np
import pytest

from trainer.evaluate.blink_counts import LIDS, BlinkCounts, blink_figures, count_blinks, share_interval

FPS = 12.0


def test_blinks_are_counted_by_closed_lids() -> None:
    truth, found = np.zeros((2, 20, 52))
    truth[np.ix_([4, 5, 12], LIDS)] = 0.9
    found[np.ix_([6, 17], LIDS)] = 0.8
    assert count_blinks(truth, found, np.full(20, 40), FPS) == BlinkCounts(2, 1, 2, 1, 1)


def test_a_blink_shows_where_open_eyes_are_seen_around_it() -> None:
    """A hand that is gone before and after does not matter, nor do the shut eyes themselves."""
    truth = np.zeros((40, 52))
    truth[np.ix_([8, 9, 30], LIDS)] = 1.0
    eye_pixels = np.full(40, 30)
    eye_pixels[[8, 9, 30]] = 0
    eye_pixels[14:25] = 0
    assert count_blinks(truth, truth, eye_pixels, FPS) == BlinkCounts(2, 2, 2, 2, 0)
    eye_pixels[26:35] = 5  # an eye's edge beside a lens
    assert count_blinks(truth, truth, eye_pixels, FPS) == BlinkCounts(2, 2, 1, 1, 0)
    assert count_blinks(truth, np.zeros_like(truth), eye_pixels, FPS) == BlinkCounts(2, 0, 1, 0, 0)


def test_shares_come_with_intervals() -> None:
    assert share_interval(90, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson
    assert share_interval(10, 10)[1] == pytest.approx(1.0)
    figures = blink_figures("clips", BlinkCounts(20, 18, 10, 10, 1), 60.0)
    assert figures["clips.blinks_found"] == 0.9
    assert figures["clips.blinks_found_showing"] == 1.0
    assert figures["clips.blinks_found_low"] < 0.9 < figures["clips.blinks_found_high"]
    assert figures["clips.blinks_false_per_minute"] == 1.0
