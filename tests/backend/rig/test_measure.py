"""The rig's measurements on cases whose answer is known."""

import numpy as np
import pytest
from rig_measures import lid_gap_mm, lid_penetration_mm, lip_gap_mm, rigidity_mm, side_leak, tongue_place

from backend.geometry.template import load_template
from backend.rig.measure import (
    eye_angles,
    eye_sphere,
    face_loops,
    fit_sphere,
    from_eye_angles,
    lip_openings,
    part_slice,
)


@pytest.fixture(scope="module")
def template():
    return load_template()


def test_sphere_through_points_of_a_sphere():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centre, radius = fit_sphere(np.array([0.03, 0.7, 0.1]) + 0.0155 * directions[directions[:, 2] > -0.3])
    assert centre == pytest.approx([0.03, 0.7, 0.1], abs=1e-9)
    assert radius == pytest.approx(0.0155, abs=1e-9)


def test_eye_angles_are_undone_by_their_inverse():
    points = np.random.default_rng(2).normal(size=(30, 3))
    centre = np.array([0.1, 0.2, 0.3])
    assert from_eye_angles(*eye_angles(points, centre), centre) == pytest.approx(points, abs=1e-12)


def test_loops_are_the_same_columns_on_both_eyes(template):
    left, right = face_loops(template).eyes
    assert left.rows.shape == right.rows.shape == (12, 28)
    mirrored = template.vertices[right.rows] * np.array([-1.0, 1.0, 1.0])
    assert mirrored == pytest.approx(template.vertices[left.rows], abs=2e-4)
    assert len(np.unique(left.rows)) == left.rows.size


def test_mouth_loops_run_from_right_to_left(template):
    mouth = face_loops(template).mouth
    for columns in (mouth.upper, mouth.lower):
        assert np.all(np.diff(template.vertices[mouth.rows[mouth.contact + 3, columns], 0]) > 0)
    upper = template.vertices[mouth.rows[mouth.contact + 3, mouth.upper], 1].mean()
    lower = template.vertices[mouth.rows[mouth.contact + 3, mouth.lower], 1].mean()
    assert upper > lower + 0.003


def test_lid_gap_grows_by_what_the_upper_lid_is_raised(template):
    neutral = template.vertices.astype(np.float64)
    loops = face_loops(template).eyes[0]
    centre, radius = eye_sphere(template, neutral, 0)
    open_eye = lid_gap_mm(template, neutral, 0)
    assert 4.0 < open_eye < 14.0
    rows = loops.rows[:, loops.upper]
    azimuth, elevation, distance = eye_angles(neutral[rows], centre)
    raised = neutral.copy()
    raised[rows] = from_eye_angles(azimuth, elevation + 0.001 / radius, distance, centre)
    assert lid_gap_mm(template, raised, 0) == pytest.approx(open_eye + 1.0, abs=0.05)
    assert lid_gap_mm(template, raised, 1) == pytest.approx(lid_gap_mm(template, neutral, 1), abs=1e-6)


def test_lid_penetration_sees_a_lid_pressed_into_the_eyeball(template):
    neutral = template.vertices.astype(np.float64)
    assert lid_penetration_mm(template, neutral, neutral, 0) == 0.0
    loops = face_loops(template).eyes[0]
    centre, radius = eye_sphere(template, neutral, 0)
    vertex = loops.rows[loops.margin + 1, loops.upper[6]]
    pressed = neutral.copy()
    direction = (pressed[vertex] - centre) / np.linalg.norm(pressed[vertex] - centre)
    pressed[vertex] = centre + direction * (radius - 0.0007)
    assert lid_penetration_mm(template, neutral, pressed, 0) == pytest.approx(0.7, abs=0.01)


def test_lip_gap_grows_by_what_the_lower_lip_is_lowered(template):
    neutral = template.vertices.astype(np.float64)
    mouth = face_loops(template).mouth
    lowered = neutral.copy()
    lowered[mouth.rows[:, mouth.lower], 1] -= 0.005
    before, after = lip_openings(template, neutral), lip_openings(template, lowered)
    assert np.median(after - before) == pytest.approx(5.0, abs=0.1)
    assert lip_gap_mm(template, lowered) > lip_gap_mm(template, neutral) + 3.0


def test_rigidity_is_zero_for_a_motion_and_not_for_a_squeeze(template):
    neutral = template.vertices.astype(np.float64)
    angle = 0.4
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    assert rigidity_mm(template, neutral, neutral @ turn.T + 0.01, "teeth_lower") < 1e-9
    assert rigidity_mm(template, neutral, neutral * [1.1, 1.0, 1.0], "teeth_lower") > 0.5


def test_side_leak_looks_at_the_other_side_only(template):
    offsets = np.zeros_like(template.vertices)
    left = template.vertices[:, 0] > 0.02
    offsets[left] = [0.0, 0.004, 0.0]
    assert side_leak(template, template.vertices, offsets, +1, 10.0) == 0.0
    assert side_leak(template, template.vertices, offsets, -1, 10.0) == pytest.approx(4.0, rel=1e-5)


def test_a_tongue_at_rest_lies_behind_the_lip_and_one_moved_out_is_measured_in_front_of_it(template):
    vertices = template.vertices.astype(np.float64)
    rest = tongue_place(template, vertices)
    assert rest.beyond < -15.0 and rest.above_lip == -np.inf
    moved = vertices.copy()
    moved[part_slice(template.parts["tongue"])] += [0.0, 0.012, 0.040]
    out = tongue_place(template, moved)
    assert out.beyond == pytest.approx(rest.beyond + 40.0, abs=1e-6)
    assert out.below == pytest.approx(rest.below - 12.0, abs=1e-6)
    assert np.isfinite(out.above_lip)
