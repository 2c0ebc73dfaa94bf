"""Where the lips part, for the solver of expressions."""

import numpy as np

from backend.expression.gaps import LIP_PAIRS, gap_targets
from backend.expression.subject import LOWER_INNER_LIP, subject_of
from backend.fitting.landmark_targets import landmark_model
from backend.geometry.template import load_template
from backend.rig.arkit import ARKIT_INDEX


def test_the_lower_lips_inner_rim_goes_with_the_jaw() -> None:
    """Calibrated on shut mouths, it would stay with the upper lip."""
    template = load_template()
    subject = subject_of(template.vertices)
    upper, lower = (np.searchsorted(subject.model.landmarks, [pair[side] for pair in LIP_PAIRS]) for side in range(2))
    opened = np.zeros(52)
    opened[ARKIT_INDEX["jawOpen"]] = 1.0
    none = np.zeros(0)
    shut, wide = (subject.model.points.positions(none, weights) for weights in (np.zeros(52), opened))
    assert np.linalg.norm(shut[upper] - shut[lower], axis=1).max() < 0.0015
    assert np.linalg.norm(wide[upper] - wide[lower], axis=1).min() > 0.025
    np.testing.assert_array_equal(shut, landmark_model(template).points.base)
    others = ~np.isin(subject.model.landmarks, LOWER_INNER_LIP)
    np.testing.assert_array_equal(
        subject.model.points.expression[others], landmark_model(subject.template).points.expression[others]
    )


def test_small_lips_are_known_to_a_pixel_or_so() -> None:
    template = load_template()
    model = subject_of(template.vertices).model
    places = template.landmarks478.positions(template.vertices) * [1.0, -1.0, 1.0]
    small, large = (gap_targets(model, 1000.0 * factor * places, (0.3, 0.3)).deviation for factor in (0.5, 5.0))
    lids = slice(0, 6)
    np.testing.assert_allclose(large[lids], 10.0 * small[lids])
    assert (large[6:] < 9.0 * small[6:]).all()
