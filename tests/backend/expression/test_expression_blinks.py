"""Blinks are made whole, other movements of lids are not."""

from types import SimpleNamespace

import numpy as np

from backend.expression.clip import FrameMark
from backend.expression.reading import Reading
from backend.expression.solver import EYES, lids_from_open
from backend.expression.transfer import complete_blinks, eyes_opening, with_whole_blinks
from protocol.names import LIDS

FPS = 24.0


def lids_with(*bumps: tuple[float, float, float, float]) -> np.ndarray:
    """(72, 2) of bumps: second, width in seconds, height left, height right."""
    seconds = np.arange(72) / FPS
    lids = np.full((72, 2), 0.05)
    for at, width, left, right in bumps:
        lids += np.exp(-(((seconds - at) / width) ** 2))[:, None] * [left, right]
    return lids


def openings_with(*bumps: tuple[float, float, float]) -> np.ndarray:
    """(72,) of bumps: second, width in seconds, share by which the eyes shut."""
    seconds = np.arange(72) / FPS
    return 0.3 * np.prod([1 - share * np.exp(-(((seconds - at) / width) ** 2)) for at, width, share in bumps], axis=0)


STEADY = np.full(72, 0.3)
ALWAYS_OPEN = np.zeros(2)


def test_half_a_blink_becomes_a_whole_one_and_only_there() -> None:
    lids = lids_with((1.0, 0.08, 0.4, 0.3))
    whole = complete_blinks(lids, STEADY, FPS)
    assert whole[24].min() > 0.9
    np.testing.assert_array_equal(whole[40:], lids[40:])
    np.testing.assert_array_equal(whole[:15], lids[:15])


def test_winks_and_slowly_narrowing_eyes_stay() -> None:
    for bump in ((1.0, 0.08, 0.8, 0.0), (1.0, 0.6, 0.4, 0.4)):
        lids = lids_with(bump)
        np.testing.assert_allclose(complete_blinks(lids, STEADY, FPS), lids, atol=0.04)


def test_trembling_is_calmed() -> None:
    """Among lids that tremble as much a short rise is no blink: half of it stays. Long ones stay."""
    lids = np.random.default_rng(0).uniform(-0.4, 0.7, (72, 1)) * np.ones(2)
    lids[40:] = 0.8
    calmed = complete_blinks(lids, STEADY, FPS)
    assert calmed[:36].max() < 0.5 < lids[:36].max()
    assert calmed[:36].min() >= 0.0
    np.testing.assert_allclose(calmed[40:], 0.8)


def test_what_is_cut_off_at_open_lids_trembles_too() -> None:
    """Half of calm lids' readings lie below those of open ones; a rise of what they tremble by is no blink."""
    lids = 0.12 * np.sin(2.3 * np.arange(72))[:, None] * np.ones(2)
    lids[24] = 0.24
    assert complete_blinks(lids, STEADY, FPS).max() < 0.3
    assert complete_blinks(np.maximum(lids, 0.0), STEADY, FPS).max() > 0.9  # what it would be without them


def test_a_blink_at_the_takes_start_is_seen_too() -> None:
    assert complete_blinks(lids_with((0.0, 0.08, 0.4, 0.4)), STEADY, FPS)[0].min() > 0.9


def test_a_faint_blink_counts_where_the_opening_shows_it_too() -> None:
    """On a face seen from the side a blink is read as a tenth of one."""
    lids = lids_with((1.0, 0.08, 0.12, 0.1))
    whole = complete_blinks(lids, openings_with((1.0, 0.08, 0.3)), FPS)
    assert whole[24].min() > 0.9
    np.testing.assert_array_equal(whole[40:], lids[40:])
    assert complete_blinks(lids, STEADY, FPS).max() < 0.13


def test_a_plain_rise_is_no_blink_among_lids_that_tremble_as_much() -> None:
    """Eyes that are read as open, then half shut, from frame to frame."""
    generator = np.random.default_rng(0)
    lids = 0.05 + 0.35 * generator.random((72, 1)) * np.ones(2)
    assert (complete_blinks(lids, STEADY, FPS) <= lids).all()
    blinked = lids + lids_with((1.0, 0.08, 0.9, 0.9)) - 0.05
    assert complete_blinks(np.clip(blinked, 0, 1), openings_with((1.0, 0.08, 0.7)), FPS)[24].min() > 0.9


def test_trembling_before_the_face_is_lost_is_no_blink() -> None:
    """What is made up where no face is seen does not tremble, and says nothing of what does."""
    tremble = 0.4 * np.random.default_rng(0).random((72, 1)) * np.ones(2)
    for first, last in ((0, 8), (64, 72), (30, 38)):
        lids = np.full((72, 2), np.nan)
        lids[first:last] = tremble[first:last]
        whole = complete_blinks(lids, STEADY, FPS)[first:last]
        assert whole.max() < 0.5, (first, last)


def test_the_opening_is_that_of_the_nearer_eye() -> None:
    landmarks = np.zeros((478, 3))
    for eye, width, gap in ((0, 40.0, 12.0), (1, 8.0, 8.0)):
        (top, bottom), (inner, outer), _ = EYES[eye]
        landmarks[outer, 0], landmarks[inner, 0] = 100.0 * eye, 100.0 * eye + width
        landmarks[top, 1], landmarks[bottom, 1] = 0.0, gap
    assert 0.3 <= eyes_opening(landmarks) < 0.33


def test_a_stream_gives_what_the_whole_take_gives() -> None:
    lids = lids_with((0.5, 0.08, 0.4, 0.4), (2.2, 0.1, 0.3, 0.35))
    lids[33:36] = np.nan
    openings = openings_with((0.5, 0.08, 0.5), (2.2, 0.1, 0.3))

    def frames():
        for pair, opening in zip(lids, openings, strict=True):
            weights = np.zeros(52)
            weights[LIDS] = pair
            landmarks = np.zeros((478, 3))
            for (_, bottom), (inner, _), _ in EYES:
                landmarks[inner, 0], landmarks[bottom, 1] = 1.0, opening
            seen = SimpleNamespace(evidence=SimpleNamespace(on_surface=lambda found=landmarks: found))
            yield FrameMark.NO_FACE if np.isnan(pair).any() else (seen, Reading(weights, np.eye(3), 90.0))

    streamed = list(with_whole_blinks(frames(), FPS, ALWAYS_OPEN))
    assert [number for number, frame in enumerate(streamed) if isinstance(frame, FrameMark)] == [33, 34, 35]
    whole = complete_blinks(lids_from_open(lids, ALWAYS_OPEN), openings, FPS)
    for frame, expected in zip(streamed, whole, strict=True):
        if not isinstance(frame, FrameMark):
            np.testing.assert_allclose(frame[1].weights[LIDS], expected)
