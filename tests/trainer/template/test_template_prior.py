"""Principal modes, what goes beyond them, and the rules by which parts follow the head."""

from __future__ import annotations

import numpy as np
import pytest

from backend.geometry.template import load_template, mirrored
from backend.rig.measure import face_loops
from trainer.template.bake import (
    PriorOptions,
    explain,
    extra_modes,
    lid_triangles,
    principal_modes,
    rigid_align,
    scan_modes,
    without_rigid_motion,
)
from trainer.template.parts import carry_parts, flesh_matrix, keep_lips_closed, make_rules


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def rules(template):
    head = template.head.vertex_stop
    rims = tuple(eye.rows[eye.margin - 1] for eye in face_loops(template).eyes)
    lids = lid_triangles(template.regions, template.quads[: template.head.face_stop])
    mouth = template.regions["lips"][:head].astype(np.float64)
    return make_rules(template.vertices.astype(np.float64), template.parts, rims, mouth, lids)


def test_modes_of_a_known_population():
    mirror = np.array([1, 0, 2])
    symmetric = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0.5, 0]])
    lopsided = np.array([[0, 1.0, 0], [0, -1, 0], [0.3, 0, 0]])
    rng = np.random.default_rng(0)
    amounts = rng.normal(size=(800, 2)) * [2.0, 0.5]
    modes, parity = principal_modes(np.tensordot(amounts, [symmetric, lopsided], 1), np.ones(3), mirror, 2)
    np.testing.assert_array_equal(parity, [1, -1])
    for mode, truth, deviation in zip(modes, (symmetric, lopsided), (2.0, 0.5), strict=True):
        np.testing.assert_allclose(np.abs(mode), np.abs(truth) * deviation, atol=0.12)
        assert abs((mode * truth).sum()) == pytest.approx(deviation * (truth**2).sum(), rel=0.08)


def test_scan_modes_keep_the_covariance():
    rng = np.random.default_rng(1)
    mirror = np.array([1, 0, 3, 2, 4])
    offsets = rng.normal(size=(6, 5, 3))
    modes = scan_modes(offsets, np.ones(5), mirror, PriorOptions(scan_modes=30))
    both = np.concatenate([offsets, mirrored(offsets, mirror)]).reshape(12, -1)
    flat = modes.reshape(len(modes), -1)
    np.testing.assert_allclose(flat.T @ flat, both.T @ both / 2, atol=1e-9)


def test_extra_modes_hold_only_what_is_new():
    rng = np.random.default_rng(2)
    mirror = np.arange(30)
    known, new = rng.normal(size=(2, 30, 3)) * [[[0.003]], [[0.002]]]
    known[:, 0] = new[:, 0] = 0  # symmetric fields on the median plane
    new -= known * (new * known).sum() / (known**2).sum()
    amounts = rng.normal(size=(500, 2))
    people = np.tensordot(amounts, [known, new], 1)
    options = PriorOptions(extra_modes=1, noise=1e-5, makehuman_share=1.0)
    mode = extra_modes(known[None], people, np.ones(30), mirror, options)[0]
    assert abs((mode * new).sum()) / np.linalg.norm(mode) / np.linalg.norm(new) > 0.999
    assert np.linalg.norm(mode) == pytest.approx(np.linalg.norm(new), rel=0.1)
    found = explain(people, known[None], np.ones(30) * 400 / 30, 1e-5)[:, 0]
    np.testing.assert_allclose(found, amounts[:, 0], atol=0.01)


def test_rigid_motion_is_taken_out_and_size_stays(template):
    points = template.vertices[:4200].astype(np.float64)
    weights = template.regions["face"][:4200].astype(np.float64)
    arm = points - weights @ points / weights.sum()
    turn = np.cross([0.01, -0.02, 0.005], arm)
    shaped = 0.05 * arm
    left = without_rigid_motion(np.stack([turn + np.array([0.01, 0, 0.02]), shaped]), points, weights)
    assert np.abs(left[0]).max() < 1e-9
    np.testing.assert_allclose(left[1], shaped, atol=1e-9)


def test_rigid_align_brings_turned_heads_back(template):
    points = template.vertices[:4200].astype(np.float64)
    angle = 0.3
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    heads = np.stack([points @ turn.T + 0.1, points @ turn - 0.2])
    np.testing.assert_allclose(rigid_align(heads, points, np.ones(4200)), np.stack([points, points]), atol=1e-9)


def test_parts_follow_a_moved_and_grown_head(template, rules):
    head = rules.points[:4200]
    centre = head.mean(0)
    moved = np.tile([0.003, -0.002, 0.004], (4200, 1))
    offsets = carry_parts(rules, np.stack([moved, 0.04 * (head - centre)]))
    np.testing.assert_allclose(offsets[0], np.tile(moved[0], (len(rules.points), 1)), atol=1e-6)
    grown = 0.04 * (rules.points - centre)
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        part = template.parts[name]
        span = slice(part.vertex_start, part.vertex_stop)
        np.testing.assert_allclose(offsets[1, span], grown[span], atol=1e-6)
    part = template.parts["lashes"]
    apart = offsets[1, part.vertex_start :] - grown[part.vertex_start : part.vertex_stop]
    assert np.abs(apart).max() < 3e-4  # lashes keep their length


def test_eyeballs_stay_round(template, rules):
    rng = np.random.default_rng(3)
    identities = rng.normal(size=(8, len(template.identity_modes)))
    offsets = np.tensordot(identities, template.identity_modes[:, :4200].astype(np.float64), 1)
    carried = carry_parts(rules, offsets)
    for eye, name in enumerate(("eye_left", "eye_right")):
        part = template.parts[name]
        balls = rules.points[part.vertex_start : part.vertex_stop] + carried[:, part.vertex_start : part.vertex_stop]
        centres = 0.5 * (balls.min(1) + balls.max(1))
        radii = np.linalg.norm(balls - centres[:, None], axis=2)
        rest = np.linalg.norm(rules.points[part.vertex_start : part.vertex_stop] - template.eye_pivots[eye], axis=1)
        ratio = radii / rest
        assert (ratio.std(1) < 0.01).all() and (np.abs(ratio.mean(1) - 1) < 0.1).all()


def test_lips_that_part_are_brought_together(template):
    mouth, points = face_loops(template).mouth, template.vertices[:4200].astype(np.float64)
    offsets = np.zeros((1, 4200, 3))
    fall = np.clip(1 - np.abs(points[:, 0]) / 0.024, 0, 1)
    offsets[0, :, 1] = -0.004 * fall * template.regions["lip_lower"][:4200]
    closed = keep_lips_closed(offsets, points, mouth)
    middle = [mouth.rows[mouth.contact, side[len(side) // 2]] for side in (mouth.upper, mouth.lower)]
    before, after = (field[0, middle[0], 1] - field[0, middle[1], 1] for field in (offsets, closed))
    assert before > 0.003 and abs(after) < 0.15 * before
    again = keep_lips_closed(2.0 * offsets, points, mouth)
    np.testing.assert_allclose(again, 2.0 * closed, atol=1e-12)  # linear
    chin = template.regions["chin"][:4200] > 0.9
    np.testing.assert_array_equal(closed[:, chin], offsets[:, chin])


def test_the_mouths_inside_goes_along_with_the_skin(template):
    points = template.vertices[:4200].astype(np.float64)
    quads = template.quads[: template.head.face_stop]
    inside = (template.regions["mouth_interior"][quads] > 0.5).any(1)
    flesh = flesh_matrix(points, quads, inside)
    np.testing.assert_allclose(np.asarray(flesh.sum(1)).ravel(), 1.0, atol=1e-9)
    skin = np.setdiff1d(np.arange(4200), np.unique(quads[inside]))
    field = np.random.default_rng(4).normal(size=(4200, 3))
    np.testing.assert_array_equal((flesh @ field)[skin], field[skin])
