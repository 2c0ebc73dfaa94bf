"""Area under the curve and rank-1 against what a hand can count."""

import numpy as np
import pytest

from trainer.measures import metrics

DISTANCES = np.array([[1.0, 2.0, 5.0], [0.5, 3.0, 4.0], [6.0, 6.0, 6.0]])
"""Own pairs 1, 3, 6; other pairs 0.5, 2, 4, 5, 6, 6."""


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    # 1 is nearer than five of six, 3 than four, 6 than none but ties with two: 5 + 4 + 1 of 18
    assert metrics.area_under_curve(DISTANCES) == pytest.approx(10 / 18)
    assert metrics.area_under_curve(1 - np.eye(4)) == 1
    assert metrics.area_under_curve(np.eye(4)) == 0
    assert metrics.area_under_curve(np.ones((4, 4))) == 0.5


def test_copies_of_a_person_are_not_two_people():
    # person 0 twice, person 1 once: own pairs 1, 1, 3; other pairs 2, 2, 0.5, 0.5
    areas = metrics.areas_of_resamples(DISTANCES, np.array([[2, 1, 0], [3, 0, 0], [1, 1, 1]]))
    assert areas[0] == pytest.approx((2 + 2 + 0) / 12)
    assert np.isnan(areas[1])
    assert areas[2] == pytest.approx(10 / 18)


def test_rank_1_looks_along_the_gallery_and_shares_ties():
    assert metrics.first_ranks(DISTANCES).tolist() == [1, 0, pytest.approx(1 / 3)]
    assert metrics.rank_interval(DISTANCES).value == pytest.approx(4 / 9)


def test_intervals_hold_the_figure_and_shrink_with_people():
    generator = np.random.default_rng(5)
    widths = []
    for size in (8, 60):
        distances = generator.normal(size=(size, size)) - 0.8 * np.eye(size)
        found = metrics.area_interval(distances)
        assert found.low <= found.value <= found.high
        assert 0.5 < found.value < 0.95
        widths.append(found.high - found.low)
    assert widths[1] < 0.7 * widths[0]  # an eighth of the people would make it 0.37 on average


def test_a_gain_is_measured_person_by_person():
    generator = np.random.default_rng(6)
    distances = generator.random((30, 30)) + 0.5 * (1 - np.eye(30))
    same = metrics.area_gain(distances, 2 * distances + 1)
    assert (same.value, same.low, same.high) == (0, 0, 0)  # the order of distances is what counts
    worse = metrics.area_gain(distances, distances + 0.3 * np.eye(30))
    assert worse.low > 0
