import numpy as np
import pytest

from trainer.evaluate.metrics import mad, side


def test_side_is_zero_for_a_scaled_depth_map():
    true = np.random.default_rng(0).uniform(0.8, 1.2, (8, 8))
    assert side(true * 3.7, true, np.ones((8, 8), bool)) == pytest.approx(0, abs=1e-12)


def test_side_of_two_pixels_by_hand():
    # D = (0, ln 2): mean ln2/2, both deviate by ln2/2
    true, predicted = np.array([[1.0, 1.0, 9.0]]), np.array([[1.0, 2.0, 1.0]])
    mask = np.array([[True, True, False]])
    assert side(predicted, true, mask) == pytest.approx(np.log(2) / 2)


def test_mad_averages_angles():
    forward, aside = [0.0, 0, -1], [1.0, 0, 0]
    true = np.array([[forward, forward]])
    predicted = np.array([[forward, aside]])
    assert mad(predicted, true, np.ones((1, 2), bool)) == pytest.approx(45)


def test_an_empty_mask_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        side(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool))
