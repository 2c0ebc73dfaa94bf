"""Combinations of keys that would cross lids or lips."""

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.rig.arkit import ARKIT_INDEX, ARKIT_NAMES
from backend.rig.combination import compatible_weights, lid_closings
from backend.rig.measure import lid_openings, lip_openings


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def closings(template):
    return lid_closings(template)


def _weights(**named):
    weights = np.zeros(len(ARKIT_NAMES))
    for name, weight in named.items():
        weights[ARKIT_INDEX[name]] = weight
    return weights


def _posed(template, weights):
    return template.vertices + np.tensordot(weights, template.expressions, 1)


def test_closings_are_signed_and_one_sided(closings):
    assert closings[0, ARKIT_INDEX["eyeBlinkLeft"]] == pytest.approx(1.0, abs=0.05)
    assert closings[1, ARKIT_INDEX["eyeBlinkLeft"]] == 0.0
    assert 0.2 < closings[0, ARKIT_INDEX["eyeLookDownLeft"]] < 0.7
    assert closings[1, ARKIT_INDEX["eyeWideRight"]] < -0.1
    assert closings[0, ARKIT_INDEX["jawOpen"]] == 0.0


@pytest.mark.parametrize(
    "others", [{"eyeLookDownLeft": 1.0}, {"eyeSquintLeft": 1.0}, {"eyeLookDownLeft": 0.6, "eyeSquintLeft": 0.8}]
)
def test_a_blink_on_top_of_lowered_lids_shuts_the_eye_and_no_more(template, closings, others):
    wanted = _weights(eyeBlinkLeft=1.0, **others)
    plain = lid_openings(template, _posed(template, wanted), 0)[1]
    limited = lid_openings(template, _posed(template, compatible_weights(wanted, closings)), 0)[1]
    assert limited.min() > plain.min() + 0.5
    assert limited.min() > -1.6
    assert limited.max() < 1.0


def test_weights_that_agree_stay_as_they_are(closings):
    weights = _weights(eyeBlinkRight=1.0, mouthSmileLeft=0.7, jawOpen=0.5, mouthClose=0.4, eyeLookUpLeft=1.0)
    assert compatible_weights(weights, closings) == pytest.approx(weights, abs=0.05)


def test_mouth_close_never_exceeds_jaw_open(template, closings):
    wanted = np.stack([_weights(jawOpen=0.2, mouthClose=0.9), _weights(mouthClose=1.0)])
    limited = compatible_weights(wanted, closings)
    assert limited[:, ARKIT_INDEX["mouthClose"]] == pytest.approx([0.2, 0.0])
    assert lip_openings(template, _posed(template, wanted[0])).min() < -10
    assert lip_openings(template, _posed(template, limited[0])).min() > -3
