"""The time left: it does not jump, goes down in a run as usual, and rises smoothly where work is really slower."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest

from backend.progress import SHARES, TimeLeft

Heard = tuple[str, float, float]
"""A stage, its fraction, and the second at which it was told."""

QUIET = """
photos: 0 0.17, 0.283 0.44, 0.567 0.69, 0.85 0.93, 0.9 1.07, 0.95 1.12, 1 1.17; canonical: 0 1.17, 0.4 1.19, 0.8 1.21,
1 1.22; encoder: 0 1.22, 1 1.26; landmarks: 0 1.26, 1 1.5; dense: 0 1.78, 0.5 2.32, 1 2.8; cage: 1 3.04; appearance: 0
3.05, 1 3.35; rig: 0 3.37, 1 3.78; hair: 0 3.78, 0.6 5.48, 0.8 6.24, 1 6.29; texture: 0 6.4, 0.3 8.28, 0.45 8.88, 0.55
11.3, 0.75 11.37, 0.85 12.8, 0.95 12.89, 1 12.91; detail: 0 13.81, 1 13.97; sending: 1 14.27
"""
"""Of three photos, standard quality, 1024 px, on two cores: fractions of each stage and seconds; ``BUSY`` while others
used these, too."""
BUSY = """
photos: 0 0.03, 0.283 1.32, 0.567 1.32, 0.85 1.95, 0.9 2.53, 0.95 2.53, 1 2.66; canonical: 0 2.67, 0.4 2.7, 0.8 2.73,
1 2.77; encoder: 0 2.77, 1 2.81; landmarks: 0 2.81, 1 3.64; dense: 0 4.37, 0.5 5.57, 1 6.94; cage: 1 7.49; appearance:
0 7.5, 1 7.88; rig: 0 7.92, 1 8.73; hair: 0 8.73, 0.6 12.96, 0.8 15.42, 1 15.61; texture: 0 15.91, 0.3 19.9, 0.45
21.46, 0.55 25.84, 0.75 26.13, 0.85 27.25, 0.95 27.63, 1 27.68; detail: 0 30.6, 1 31.2; sending: 1 31.5
"""


def read(log: str) -> list[Heard]:
    stages = (stage.split(":") for stage in log.split(";"))
    return [(name.strip(), *map(float, one.split())) for name, told in stages for one in told.split(",")]


def shown(heard: Iterable[Heard], step: float = 0.1) -> Iterator[tuple[float, float, float]]:
    """(second, true time left, the time left that a person sees) every ``step`` seconds."""
    heard = list(heard)
    end, left = heard[-1][2], TimeLeft(SHARES, 0.0)
    for number in range(round(end / step) + 1):
        until = number * step
        while heard and heard[0][2] <= until:
            left.update(*heard.pop(0))
        if (seen := left.seconds_left(until)) is not None:
            yield until, end - until, seen


def after_kept(heard: list[Heard], stage: str) -> list[Heard]:
    """The same where all before ``stage`` is kept of an earlier job and passes in a moment."""
    start = next(second for name, _, second in heard if name == stage)
    return [(name, done, max(0.3 * second / start, 0.3 + second - start)) for name, done, second in heard]


def slower(heard: list[Heard], stage: str, times: float, steps: int) -> Iterator[Heard]:
    """The same with a stage that takes ``times`` as long and is told of evenly in ``steps``."""
    start = next(second for name, _, second in heard if name == stage)
    end = next(second for name, fraction, second in heard if name == stage and fraction == 1.0)
    yield from ((name, fraction, second) for name, fraction, second in heard if second <= start)
    yield from ((stage, step / steps, start + times * (end - start) * step / steps) for step in range(1, steps + 1))
    yield from ((name, done, second + (times - 1) * (end - start)) for name, done, second in heard if second > end)


@pytest.mark.parametrize("heard", [read(QUIET), read(BUSY), after_kept(read(BUSY), "dense")])
def test_the_time_left_never_rises_in_a_run_as_usual(heard: tuple[Heard, ...]) -> None:
    seen = list(shown(heard))
    assert len(seen) > 0.8 * 10 * heard[-1][2], "there is something to see nearly all the time"
    assert max(after[2] - before[2] for before, after in pairwise(seen)) <= 1e-9
    assert max(abs(left - true) for second, true, left in seen if second > heard[-1][2] / 3) < 0.25 * heard[-1][2]


def test_the_time_left_grows_smoothly_where_a_stage_is_three_times_slower() -> None:
    seen = list(shown(slower(read(QUIET), "texture", 3.0, 40)))
    assert max(after[2] - before[2] for before, after in pairwise(seen)) < 0.5, "no step of it is a jump"
    begun = next(second for stage, _, second in read(QUIET) if stage == "texture")
    lowest = min(left for second, _, left in seen if second < begun + 3)
    late = [(true, left) for second, true, left in seen if begun + 6 < second]
    assert max(left for _, left in late) > lowest + 1, "it says that work takes longer"
    assert all(abs(left - true) < 0.35 * true + 1.5 for true, left in late), "and then is about right"


@pytest.mark.parametrize(("times", "steps"), [(4.0, 3), (3.0, 3), (3.0, 5)])
def test_the_time_left_does_not_jump_where_a_slow_stage_is_silent_for_long(times: float, steps: int) -> None:
    """Texture takes much longer than usual, and tells of it every 4 to 9 seconds."""
    seen = list(shown(slower(read(QUIET), "texture", times, steps)))
    assert max(after[2] - before[2] for before, after in pairwise(seen)) < 0.5, "no step of it is a jump"
    begun = next(second for stage, _, second in read(QUIET) if stage == "texture")
    first = begun + times * (12.91 - 6.4) / steps
    lowest = min(left for second, _, left in seen if second < first)
    assert max(left for second, _, left in seen if second > first + 2) > lowest + 1, "it says that work takes longer"


def test_it_ends_at_nothing_and_a_silent_one_stays_above_it() -> None:
    left = TimeLeft({"read": 1.0, "fit": 1.0}, 0.0)
    left.update("read", 1.0, 4.0)
    assert left.seconds_left(100.0) == pytest.approx(3.0)
    left.update("fit", 1.0, 100.0)
    assert left.seconds_left(100.0) == pytest.approx(0.0)


def test_a_stage_without_a_share_moves_neither_bar_nor_estimate() -> None:
    left = TimeLeft({"read": 1.0, "tune": 0.0, "fit": 3.0}, 0.0)
    left.update("read", 1.0, 2.0)
    left.update("tune", 0.0, 2.0)
    left.update("tune", 1.0, 10.0)
    assert left.fraction == pytest.approx(0.25) and left.seconds_left(10.0) == pytest.approx(4.5)
