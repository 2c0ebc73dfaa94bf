"""What personalised keys guarantee, on the mean head and on random people, and how keys are carried over."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest
from rig_measures import lid_gap_mm, lid_penetration_mm, lip_gap_mm, rigidity_mm, side_leak, tongue_place
from scipy.spatial import cKDTree

from backend.geometry.template import Template, load_template
from backend.geometry.vectors import area_vectors
from backend.photos.regions import BROW_LOWER, BROW_UPPER
from backend.rig import measure
from backend.rig.personalise import personalise_keys, source_deformations, transfer, triangle_frames, triangles_of
from protocol.names import ARKIT_INDEX, ARKIT_NAMES, mirrored_name
from protocol.similarity import fit_similarity

SIDES = ("Left", "Right")
WHOLE_FACE_SIDES = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
PEOPLE = ("mean", "person 1", "person 2", "person 3", "person 4", "person 5")


@dataclass(frozen=True)
class Person:
    template: Template
    neutral: np.ndarray
    keys: np.ndarray

    def posed(self, **weights: float) -> np.ndarray:
        mesh = self.neutral.astype(np.float64)
        for name, weight in weights.items():
            mesh = mesh + weight * self.keys[ARKIT_INDEX[name]]
        return mesh


@pytest.fixture(scope="module")
def people():
    template = load_template()
    rng = np.random.default_rng(5)
    faces = [template.vertices]
    for _ in PEOPLE[1:]:
        weights = rng.standard_normal(len(template.identity_modes)).astype(np.float32)
        faces.append(template.vertices + np.tensordot(weights, template.identity_modes, 1))
    return {
        name: Person(template, face, personalise_keys(template, face)) for name, face in zip(PEOPLE, faces, strict=True)
    }


@pytest.fixture(params=PEOPLE)
def person(people, request):
    return people[request.param]


def test_the_mean_head_gets_the_templates_own_keys(people):
    assert np.abs(people["mean"].keys - people["mean"].template.expressions).max() < 5e-5  # half precision in the file


@pytest.mark.parametrize("eye", [0, 1])
def test_a_blink_shuts_the_eye(person, eye):
    name = f"eyeBlink{SIDES[eye]}"
    assert lid_gap_mm(person.template, person.posed(**{name: 1.0}), eye) <= 0.3
    overlap = measure.lid_openings(person.template, person.posed(**{name: 1.0}), eye)[1].min()
    assert overlap > -1.5  # shut, not drawn over the lower lid
    assert lid_gap_mm(person.template, person.posed(**{name: 0.5}), eye) > 1.0


@pytest.mark.parametrize("eye", [0, 1])
def test_the_eyeball_does_not_poke_through_a_closing_lid(person, eye):
    for weight in (0.25, 0.5, 0.75, 1.0):
        posed = person.posed(**{f"eyeBlink{SIDES[eye]}": weight})
        assert lid_penetration_mm(person.template, person.neutral, posed, eye) <= 0.1


@pytest.mark.parametrize("name", ["eyeLookDown", "eyeLookUp", "eyeLookIn", "eyeLookOut", "eyeSquint", "eyeWide"])
def test_the_eyeball_does_not_poke_through_moving_lids(person, name):
    for eye, side in enumerate(SIDES):
        posed = person.posed(**{name + side: 1.0})
        assert lid_penetration_mm(person.template, person.neutral, posed, eye) <= 0.3


def test_lids_follow_the_gaze_down(person):
    for eye, side in enumerate(SIDES):
        opened = lid_gap_mm(person.template, person.neutral, eye)
        lowered = lid_gap_mm(person.template, person.posed(**{f"eyeLookDown{side}": 1.0}), eye)
        assert 0.3 * opened < lowered < 0.85 * opened


def test_lips_meet_when_the_mouth_closes_over_an_open_jaw(person):
    assert lip_gap_mm(person.template, person.posed(jawOpen=1.0)) > 15.0
    assert lip_gap_mm(person.template, person.posed(jawOpen=1.0, mouthClose=1.0)) <= 0.5
    parted = lip_gap_mm(person.template, person.neutral)  # this face may not quite close its lips to begin with
    for weight in (0.25, 0.5, 0.75):
        assert lip_gap_mm(person.template, person.posed(jawOpen=weight, mouthClose=weight)) <= max(0.5, parted + 0.1)


@pytest.mark.parametrize("direction", ["Up", "Down", "In", "Out"])
def test_eyeballs_turn_rigidly_about_their_own_centre(person, direction):
    for eye, side in enumerate(SIDES):
        posed = person.posed(**{f"eyeLook{direction}{side}": 1.0})
        part = f"eye_{side.lower()}"
        assert rigidity_mm(person.template, person.neutral, posed, part) < 0.02
        before, _ = measure.eye_sphere(person.template, person.neutral, eye)
        after, _ = measure.eye_sphere(person.template, posed, eye)
        assert np.linalg.norm(after - before) < 5e-5
        place = measure.part_slice(person.template.parts[part])
        rotation = fit_similarity(person.neutral[place], posed[place], scale=1.0).rotation
        angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
        assert 20.0 <= angle <= 31.0


def test_gaze_goes_the_way_the_name_says(person):
    for eye, side in enumerate(SIDES):
        place = measure.part_slice(person.template.parts[f"eye_{side.lower()}"])
        outwards = 1.0 if side == "Left" else -1.0
        centre, _ = measure.eye_sphere(person.template, person.neutral, eye)
        front = place.start + int((person.neutral[place, 2] - centre[2]).argmax())
        for direction, axis, sign in (("Up", 1, 1), ("Down", 1, -1), ("Out", 0, outwards), ("In", 0, -outwards)):
            moved = person.keys[ARKIT_INDEX[f"eyeLook{direction}{side}"], front]
            assert sign * moved[axis] > 0.004


@pytest.mark.parametrize("name", ["jawOpen", "jawForward", "jawLeft", "jawRight"])
def test_lower_teeth_ride_rigidly_on_the_jaw(person, name):
    posed = person.posed(**{name: 1.0})
    assert rigidity_mm(person.template, person.neutral, posed, "teeth_lower") < 0.02
    assert rigidity_mm(person.template, person.neutral, posed, "tongue") < 0.02
    upper = measure.part_slice(person.template.parts["teeth_upper"])
    assert np.all(person.keys[ARKIT_INDEX[name], upper] == 0.0)


def test_lower_teeth_move_as_far_as_the_chin(person):
    jaw = np.linalg.norm(person.keys[ARKIT_INDEX["jawOpen"]], axis=1)
    chin = jaw[: person.template.head.vertex_stop].max()
    assert 0.4 * chin < jaw[measure.part_slice(person.template.parts["teeth_lower"])].max() < 1.05 * chin


@pytest.mark.parametrize("jaw", [0.0, 0.3, 0.7])
def test_the_tongue_hangs_over_this_faces_own_lip(person, jaw):
    posed = person.posed(tongueOut=1.0, jawOpen=jaw)
    tongue = tongue_place(person.template, posed)
    assert 15.0 < tongue.beyond < 25.0
    assert tongue.below > (6.0 if jaw == 0.0 else -4.0)  # the tip; a jaw that opens takes the lip down from it
    assert tongue.above_lip > 1.0
    place = measure.part_slice(person.template.parts["tongue"])
    outside = posed[place][posed[place][:, 2] > posed[place][:, 2].max() - 0.018]
    assert 0.029 < np.ptp(outside[:, 0]) < 0.042
    lower = posed[measure.part_slice(person.template.parts["teeth_lower"])]
    incisors = lower[np.abs(lower[:, 0] - lower[:, 0].mean()) < 0.009]
    over = posed[place][np.abs(posed[place][:, 2] - incisors[:, 2].max()) < 0.004]
    assert incisors[:, 1].max() < over[:, 1].max() - 0.001  # teeth do not come out through the tongue


def test_the_lower_teeth_go_with_the_jaw_that_makes_way_for_the_tongue(person):
    lower = measure.part_slice(person.template.parts["teeth_lower"])
    out, opened = (person.keys[ARKIT_INDEX[name], lower] for name in ("tongueOut", "jawOpen"))
    np.testing.assert_allclose(out, 0.25 * opened, atol=1e-6)


def test_one_sided_keys_leave_the_other_side_alone(person):
    for index, name in enumerate(ARKIT_NAMES):
        if mirrored_name(name) == name or name in WHOLE_FACE_SIDES:
            continue
        side = 1 if name.endswith("Left") else -1
        offsets = person.keys[index]
        largest = np.linalg.norm(offsets, axis=1).max() * 1e3
        assert side_leak(person.template, person.neutral, offsets, side, 16.0) == 0.0, name
        assert side_leak(person.template, person.neutral, offsets, side, 10.0) <= 0.05 * largest, name


def test_lashes_stay_on_the_lids(person):
    place = measure.part_slice(person.template.parts["lashes"])
    head = person.template.head.vertex_stop
    for name in ("eyeBlinkLeft", "eyeLookDownRight", "eyeWideLeft"):
        far = [cKDTree(mesh[:head]).query(mesh[place])[0] for mesh in (person.neutral, person.posed(**{name: 1.0}))]
        assert (far[1] - far[0]).max() < 0.002


def test_raised_brows_move_as_a_whole(person):
    raised = person.posed(browInnerUp=1.0, browOuterUpLeft=1.0, browOuterUpRight=1.0)
    marks = [person.template.landmarks478.positions(mesh) for mesh in (person.neutral, raised)]
    still, moved = (np.linalg.norm(at[np.r_[BROW_UPPER]] - at[np.r_[BROW_LOWER]], axis=-1) for at in marks)
    assert np.abs(moved / still - 1.0).max() < 0.06, "the skin of a brow is not stretched"
    rise = (marks[1] - marks[0])[np.r_[BROW_UPPER], 1]
    assert 0.005 < rise.min() > 0.8 * rise.max(), "its ends go up nearly as far as its middle"
    lids = [eye.rows[eye.margin : eye.margin + 6][:, eye.upper] for eye in measure.face_loops(person.template).eyes]
    assert np.linalg.norm(raised - person.neutral, axis=1)[lids].max() < 0.002, "the lid stays up to its fold"
    skin = triangles_of(person.template.quads[: person.template.head.face_stop], person.neutral)
    areas = [np.linalg.norm(area_vectors(mesh, skin), axis=1) for mesh in (person.neutral, raised)]
    assert (areas[1] / areas[0]).max() < 2.2, "the skin from fold to brow shares the stretch"


def test_no_key_is_empty_or_wild(person):
    sizes = np.linalg.norm(person.keys, axis=2).max(1) * 1e3
    assert ((sizes > 1.0) & (sizes < 70.0)).all(), dict(zip(ARKIT_NAMES, sizes, strict=True))  # NaN is neither


def test_wrong_shapes_and_values_are_refused(people):
    template = people["mean"].template
    with pytest.raises(ValueError, match="shape"):
        personalise_keys(template, template.vertices[:-1])
    with pytest.raises(ValueError, match="finite"):
        personalise_keys(template, np.r_[template.vertices[:-1], [[0.0, np.nan, 0.0]]])


def test_all_keys_take_less_than_their_budget(people):
    person = people["person 1"]
    start = time.thread_time()
    personalise_keys(person.template, person.neutral)
    assert time.thread_time() - start < 1.5


@pytest.fixture(scope="module")
def sheet():
    """A bumpy grid of 12 x 12 quads, its quads and the ids of its still border."""
    side = 13
    ys, xs = np.mgrid[0:side, 0:side]
    heights = 0.003 * np.sin(xs * 1.3) * np.cos(ys * 0.9)
    vertices = np.stack([xs * 0.01, ys * 0.01, heights], axis=-1).reshape(-1, 3)
    corner = (ys[:-1, :-1] * side + xs[:-1, :-1]).ravel()
    quads = np.stack([corner, corner + 1, corner + side + 1, corner + side], axis=1)
    border = ((xs == 0) | (xs == side - 1) | (ys == 0) | (ys == side - 1)).ravel()
    return vertices, quads, border


def _bulge(vertices, border):
    middle = vertices.mean(0)
    offsets = np.zeros_like(vertices)
    offsets[:, 2] = 0.02 * np.exp(-(((vertices - middle)[:, :2] / 0.03) ** 2).sum(1))
    offsets[:, 0] = 0.004 * np.exp(-(((vertices - middle)[:, :2] / 0.02) ** 2).sum(1))
    offsets[border] = 0.0
    return offsets


def test_transfer_onto_the_source_returns_its_offsets(sheet):
    vertices, quads, border = sheet
    offsets = np.stack([_bulge(vertices, border), -0.5 * _bulge(vertices, border)])
    carried = transfer(source_deformations(vertices, quads, offsets), vertices)
    assert np.abs(carried - offsets).max() < 1e-7


def test_transfer_scales_with_the_target(sheet):
    vertices, quads, border = sheet
    offsets = _bulge(vertices, border)[None]
    carried = transfer(source_deformations(vertices, quads, offsets), 1.5 * vertices)
    strong = np.abs(offsets[0, :, 2]) > 2e-3
    assert carried[0, strong] == pytest.approx(1.5 * offsets[0, strong], abs=3e-4)


def test_what_turns_rigidly_on_the_source_turns_rigidly_on_a_target_of_another_shape(sheet):
    vertices, quads, _ = sheet
    angle = np.radians(20.0)
    turn = np.array([[np.cos(angle), 0.0, np.sin(angle)], [0.0, 1.0, 0.0], [-np.sin(angle), 0.0, np.cos(angle)]])
    flap = vertices[:, 0] > 0.065  # hinged at x = 0.06
    offsets = np.zeros_like(vertices)
    offsets[flap] = (vertices[flap] - [0.06, 0.0, 0.0]) @ (turn - np.eye(3)).T
    target = vertices * np.array([1.1, 0.8, 2.5])
    target[:, 2] += 0.5 * target[:, 0] ** 2
    carried = target + transfer(source_deformations(vertices, quads, offsets[None]), target)[0]
    _, rotation, shift = fit_similarity(target[flap], carried[flap], scale=1.0)
    assert rotation == pytest.approx(turn, abs=0.01)
    assert np.abs(target[flap] @ rotation.T + shift - carried[flap]).max() < 5e-4


def test_what_stands_still_on_the_source_stands_still_on_the_target(sheet):
    vertices, quads, border = sheet
    offsets = _bulge(vertices, border)[None]
    offsets[:, vertices[:, 0] < 0.05] = 0.0
    target = vertices * np.array([1.2, 0.9, 2.0])
    carried = transfer(source_deformations(vertices, quads, offsets), target)
    assert np.all(carried[0, vertices[:, 0] < 0.05] == 0.0)


def test_frames_span_their_triangle_and_its_scaled_normal():
    corners = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 8.0, 0.0]])
    assert triangle_frames(corners) == pytest.approx(np.diag([2.0, 8.0, 4.0]))  # n / sqrt|n|, |n| = 16


def test_sphere_through_points_of_a_sphere():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    centre, radius = measure.fit_sphere(np.array([0.03, 0.7, 0.1]) + 0.0155 * directions[directions[:, 2] > -0.3])
    assert centre == pytest.approx([0.03, 0.7, 0.1], abs=1e-9)
    assert radius == pytest.approx(0.0155, abs=1e-9)


def test_eye_angles_are_undone_by_their_inverse():
    points = np.random.default_rng(2).normal(size=(30, 3))
    centre = np.array([0.1, 0.2, 0.3])
    assert measure.from_eye_angles(*measure.eye_angles(points, centre), centre) == pytest.approx(points, abs=1e-12)


def test_loops_are_the_same_columns_on_both_eyes(template):
    left, right = measure.face_loops(template).eyes
    assert left.rows.shape == right.rows.shape == (12, 28)
    mirrored = template.vertices[right.rows] * np.array([-1.0, 1.0, 1.0])
    assert mirrored == pytest.approx(template.vertices[left.rows], abs=2e-4)
    assert len(np.unique(left.rows)) == left.rows.size


def test_mouth_loops_run_from_right_to_left(template):
    mouth = measure.face_loops(template).mouth
    upper, lower = (template.vertices[mouth.rows[mouth.contact + 3, at]] for at in (mouth.upper, mouth.lower))
    assert np.all(np.diff(upper[:, 0]) > 0) and np.all(np.diff(lower[:, 0]) > 0)
    assert upper[:, 1].mean() > lower[:, 1].mean() + 0.003
