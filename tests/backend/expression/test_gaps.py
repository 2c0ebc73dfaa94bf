"""How well the solver of expressions knows how far lids and lips are apart."""

import numpy as np

from backend.expression.solver import gap_targets
from backend.expression.subject import subject_of
from backend.geometry.template import load_template


def test_small_lips_are_known_to_a_pixel_or_so() -> None:
    template = load_template()
    model = subject_of(template.vertices).model
    places = template.landmarks478.positions(template.vertices) * [1.0, -1.0, 1.0]
    small, large = (gap_targets(model, 1000.0 * factor * places, (0.3, 0.3)).deviation for factor in (0.5, 5.0))
    lids = slice(0, 6)
    np.testing.assert_allclose(large[lids], 10.0 * small[lids])
    assert (large[6:] < 9.0 * small[6:]).all()
