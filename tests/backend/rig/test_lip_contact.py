"""Lips of a fitted face that are shut."""

import numpy as np
import pytest

from backend.fitting.fit import with_closed_lips
from backend.fitting.solver import FaceEstimate
from backend.fitting.stages import FitState
from backend.geometry.subdivision import subdivide
from backend.geometry.template import load_template
from backend.rig.measure import face_loops
from backend.rig.mouth import LEAST_OVERLAP, abscissas_across, closed_lips, lips_apart, touch_lips


def overlap_mm(neutral: np.ndarray) -> float:
    """The least overlap of the smooth lips over the inner 80 % of the mouth, in the loop where it is largest."""
    template = load_template()
    head, mouth = template.head.vertex_stop, face_loops(template).mouth
    surface = (subdivide(template, 1).matrix[: len(neutral)] @ neutral)[:head]
    across = abscissas_across(neutral[:head], mouth)
    gaps = [lips_apart(surface[None, :, 1], surface, mouth, row, across)[0] for row in (-2, -1, 0, 1)]
    return -1e3 * float(np.min(gaps, axis=0)[6:-6].max())


@pytest.mark.parametrize("deviations", [1.0, 2.5])
def test_a_fitted_face_has_its_lips_shut(deviations: float) -> None:
    template = load_template()
    random = np.random.default_rng(3)
    open_before = 0
    for _ in range(4):
        identity = deviations * random.standard_normal(len(template.identity_modes))
        state = FitState(template, (), FaceEstimate(identity, ()), (), ())
        before, after = state.neutral, with_closed_lips(state).neutral
        open_before += overlap_mm(before) < 0.35
        assert overlap_mm(after) > 0.8e3 * LEAST_OVERLAP
        moved = np.linalg.norm(after - before, axis=1)
        assert moved.max() < 0.001
        far = np.linalg.norm(before - before[face_loops(template).mouth.rows[8]].mean(0), axis=1) > 0.05
        assert moved[far & (template.regions["mouth_interior"] < 0.1)].max() < 1e-7
    assert open_before > 0


def test_lips_that_touch_stay_as_they_are() -> None:
    template = load_template()
    head = template.head.vertex_stop
    shut, smooth = template.vertices.astype(np.float64), subdivide(template, 1).matrix[:head, :head]
    shut[:head] = touch_lips(shut[:head], smooth, face_loops(template).mouth, overlap=0.0008)
    assert np.abs(shut - template.vertices).max() > 1e-5
    np.testing.assert_allclose(closed_lips(template, shut), shut, rtol=0.0, atol=1e-6)
