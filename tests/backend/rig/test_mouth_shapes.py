"""Teeth that show in an open mouth, and parts that move as before."""

from __future__ import annotations

import numpy as np
import pytest
from rig_measures import rigidity_mm

from backend.geometry.template import load_template
from backend.rig.measure import face_loops, part_slice
from backend.rig.mouth import mouth_shapes
from backend.rig.personalise import personalise_keys
from protocol.names import ARKIT_INDEX

UPPER_LIP = 13  # MediaPipe: inner edge, in the middle


def _mouth() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    template = load_template()
    keys = personalise_keys(template, template.vertices)
    return template.vertices, keys, *mouth_shapes(template, template.vertices, keys)


def _front(mesh: np.ndarray, name: str) -> np.ndarray:
    part = mesh[part_slice(load_template().parts[name])]
    return part[np.abs(part[:, 0]) < 0.006]


@pytest.mark.parametrize("jaw", [0.4, 0.8])
def test_an_open_mouth_shows_the_upper_and_the_lower_incisors(jaw: float) -> None:
    template = load_template()
    loops = face_loops(template).mouth
    before, old_keys, neutral, keys = _mouth()
    seen = []
    for mesh, moves in ((before, old_keys), (neutral, keys)):
        posed = mesh + jaw * moves[ARKIT_INDEX["jawOpen"]]
        upper = posed[loops.rows[loops.contact - 1 :, loops.upper[11]], 1].min()
        seen.append(upper - _front(posed, "teeth_upper")[:, 1].min())
    lower = posed[loops.rows[loops.contact - 1 :, loops.lower[6]], 1].max()
    assert seen[0] < 0.002 and seen[1] > 0.0022
    assert _front(posed, "teeth_lower")[:, 1].max() > lower + 0.002
    assert _front(posed, "tongue")[:, 2].max() < _front(posed, "teeth_lower")[:, 2].max()


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_broad_smile_shows_teeth_and_hardly_any_gum(seed: int | None) -> None:
    """Crowns of incisors are 10 to 10.5 mm long; smiles show 7 to 12 mm of teeth and gum."""
    template = load_template()
    neutral = template.vertices
    if seed is not None:
        identity = np.random.default_rng(seed).normal(0, 0.8, len(template.identity_modes))
        neutral = (neutral + np.tensordot(identity, template.identity_modes, 1)).astype(np.float32)
    neutral, keys = mouth_shapes(template, neutral, personalise_keys(template, neutral))
    smile = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4}
    posed = neutral + sum(weight * keys[ARKIT_INDEX[name]] for name, weight in smile.items())
    lip = template.landmarks478.positions(posed)[UPPER_LIP, 1]
    assert 0.007 < lip - _front(posed, "teeth_upper")[:, 1].min() < 0.012


def test_the_rows_of_teeth_overlap_as_teeth_do() -> None:
    """By 2 to 4 mm; hm08's by 5."""
    before, _, neutral, _ = _mouth()
    overlaps = [
        _front(mesh, "teeth_lower")[:, 1].max() - _front(mesh, "teeth_upper")[:, 1].min() for mesh in (before, neutral)
    ]
    assert overlaps[0] > 0.0045 and 0.002 < overlaps[1] < 0.004


def test_closed_lips_hide_the_teeth() -> None:
    loops = face_loops(load_template()).mouth
    _, _, neutral, _ = _mouth()
    lip = neutral[loops.rows[loops.contact :][:, [loops.upper[11], loops.lower[6]]]].reshape(-1, 3)
    teeth = np.concatenate([_front(neutral, "teeth_upper"), _front(neutral, "teeth_lower")])
    assert teeth[:, 2].max() < lip[:, 2].min()
    low = neutral[loops.rows[loops.contact :, loops.lower[6]], 1].min()
    assert _front(neutral, "teeth_upper")[:, 1].min() > low  # the lower lip is in front of their edges


def test_the_tongue_comes_out_as_before() -> None:
    template = load_template()
    before, old_keys, neutral, keys = _mouth()
    place = part_slice(template.parts["tongue"])
    index = ARKIT_INDEX["tongueOut"]
    assert np.allclose(neutral[place] + keys[index, place], before[place] + old_keys[index, place], atol=1e-6)


def test_parts_stay_rigid_in_the_jaw_keys_and_the_rest_is_left_alone() -> None:
    template = load_template()
    before, old_keys, neutral, keys = _mouth()
    for name in ("jawOpen", "jawLeft"):
        posed = neutral + keys[ARKIT_INDEX[name]]
        assert rigidity_mm(template, neutral, posed, "teeth_lower") < 0.05
    others = np.ones(len(before), bool)
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        others[part_slice(template.parts[name])] = False
    others[template.sculpture.lining_vertices] = False
    assert np.array_equal(neutral[others], before[others]) and np.array_equal(keys[:, others], old_keys[:, others])
