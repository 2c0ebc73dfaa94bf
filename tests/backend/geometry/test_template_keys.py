"""The baked 52 keys of the committed template."""

import sys
from pathlib import Path

import numpy as np
import pytest

from backend.geometry.template import load_template
from backend.rig.measure import part_slice
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name

sys.path.append(str(Path(__file__).resolve().parents[1] / "rig"))
from rig_measures import lid_gap_mm, lip_gap_mm

WHOLE_FACE_SIDES = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
CLOSED_MOUTH_KEYS = (
    "jawForward", "jawLeft", "jawRight", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthFrownLeft",
    "mouthDimpleLeft", "mouthStretchLeft", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthPressLeft",
    "cheekPuff", "cheekSquintLeft",
)  # fmt: skip
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def template():
    return load_template()


def test_pairs_are_mirror_images(template):
    for index, name in enumerate(ARKIT_NAMES):
        partner = template.expressions[ARKIT_INDEX[mirrored_name(name)]]
        mirrored = partner[template.mirror] * FLIP
        assert np.abs(mirrored - template.expressions[index]).max() < 5e-4, name


def test_upper_teeth_never_move(template):
    assert not np.any(template.expressions[:, part_slice(template.parts["teeth_upper"])])


def test_eyeballs_move_in_gaze_keys_only(template):
    for index, name in enumerate(ARKIT_NAMES):
        for side in ("left", "right"):
            moved = np.any(template.expressions[index, part_slice(template.parts[f"eye_{side}"])])
            assert moved == (name.startswith("eyeLook") and name.lower().endswith(side)), name


def test_lips_stay_shut_where_they_should(template):
    for name in CLOSED_MOUTH_KEYS:
        offsets = template.expressions[ARKIT_INDEX[name]]
        if mirrored_name(name) != name and name not in WHOLE_FACE_SIDES:
            offsets = offsets + template.expressions[ARKIT_INDEX[mirrored_name(name)]]
        gap = lip_gap_mm(template, template.vertices + offsets)
        assert gap <= max(0.5, lip_gap_mm(template, template.vertices) + 0.2), name


def test_keys_do_what_their_names_say(template):
    marks = template.landmarks68

    def motion(name):
        moved = marks.positions(template.vertices + template.expressions[ARKIT_INDEX[name]])
        return (moved - marks.positions(template.vertices)) * 1e3  # (68, 3) mm

    corner, brow_outer, upper_lip, lower_lip, chin = 54, 26, 51, 57, 8  # of the person's left
    assert motion("mouthSmileLeft")[corner, 1] > 3
    assert motion("mouthFrownLeft")[corner, 1] < -2
    assert motion("mouthStretchLeft")[corner, 0] > 2
    assert motion("mouthPucker")[corner, 0] < -2
    assert motion("mouthLeft")[[upper_lip, lower_lip], 0].min() > 2
    assert motion("jawOpen")[chin, 1] < -15
    assert motion("jawForward")[chin, 2] > 2
    assert motion("jawRight")[chin, 0] < -2
    assert motion("browOuterUpLeft")[brow_outer, 1] > 2
    assert motion("browDownLeft")[22:27, 1].mean() < -1
    assert motion("browInnerUp")[[21, 22], 1].min() > 2
    assert motion("mouthUpperUpLeft")[52, 1] > 2
    assert motion("mouthLowerDownLeft")[56, 1] < -2
    assert motion("noseSneerLeft")[35, 1] > 0.5
    assert motion("mouthShrugUpper")[upper_lip, 1] > 1
    puffed = template.expressions[ARKIT_INDEX["cheekPuff"]]
    left_cheek = (template.regions["cheeks"] > 0.5) & (template.vertices[:, 0] > 0.02)
    assert puffed[left_cheek, 0].max() > 0.004
    tongue = part_slice(template.parts["tongue"])
    assert template.expressions[ARKIT_INDEX["tongueOut"], tongue, 2].max() > 0.01


def test_wide_and_squint_change_the_opening(template):
    opened = lid_gap_mm(template, template.vertices, 0)
    wide = lid_gap_mm(template, template.vertices + template.expressions[ARKIT_INDEX["eyeWideLeft"]], 0)
    squint = lid_gap_mm(template, template.vertices + template.expressions[ARKIT_INDEX["eyeSquintLeft"]], 0)
    assert wide > opened + 1.0
    assert squint < opened - 0.5
