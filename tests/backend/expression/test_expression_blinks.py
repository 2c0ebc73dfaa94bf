"""Blinks are made whole, other movements of lids are not."""

import numpy as np

from backend.expression.blinks import whole_blinks, with_whole_blinks
from backend.expression.expected import LIDS
from backend.expression.reading import Reading
from backend.expression.take import FrameMark

FPS = 24.0


def lids_with(*bumps: tuple[float, float, float, float]) -> np.ndarray:
    """(72, 2) of bumps: second, width in seconds, height left, height right."""
    seconds = np.arange(72) / FPS
    lids = np.full((72, 2), 0.05)
    for at, width, left, right in bumps:
        lids += np.exp(-(((seconds - at) / width) ** 2))[:, None] * [left, right]
    return lids


def test_half_a_blink_becomes_a_whole_one_and_only_there() -> None:
    lids = lids_with((1.0, 0.08, 0.4, 0.3))
    whole = whole_blinks(lids, FPS)
    assert whole[24].min() > 0.9
    np.testing.assert_array_equal(whole[40:], lids[40:])
    np.testing.assert_array_equal(whole[:15], lids[:15])


def test_trembling_winks_and_slowly_narrowing_eyes_stay() -> None:
    for bump in ((1.0, 0.08, 0.12, 0.12), (1.0, 0.08, 0.8, 0.0), (1.0, 0.6, 0.4, 0.4)):
        lids = lids_with(bump)
        np.testing.assert_array_equal(whole_blinks(lids, FPS), lids)


def test_a_blink_at_the_takes_start_is_seen_too() -> None:
    assert whole_blinks(lids_with((0.0, 0.08, 0.4, 0.4)), FPS)[0].min() > 0.9


def test_a_stream_gives_what_the_whole_take_gives() -> None:
    lids = lids_with((0.5, 0.08, 0.4, 0.4), (2.2, 0.1, 0.3, 0.35))
    lids[33:36] = np.nan

    def frames():
        for pair in lids:
            weights = np.zeros(52)
            weights[list(LIDS)] = pair
            yield FrameMark.NO_FACE if np.isnan(pair).any() else (None, Reading(weights, np.eye(3), 90.0))

    streamed = list(with_whole_blinks(frames(), FPS))
    assert [number for number, frame in enumerate(streamed) if isinstance(frame, FrameMark)] == [33, 34, 35]
    whole = whole_blinks(lids, FPS)
    for frame, expected in zip(streamed, whole, strict=True):
        if not isinstance(frame, FrameMark):
            np.testing.assert_allclose(frame[1].weights[list(LIDS)], expected)
