"""The committed template is what its contract says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from backend.errors import LikenessError
from backend.geometry.subdivision import subdivision
from backend.geometry.template import (
    PART_ORDER,
    REGION_NAMES,
    TEMPLATE_PATH,
    load_template,
    mirrored,
    read_template,
    save_template,
    triangles_from_quads,
)
from backend.photos.faces import LOWER_LIP_EDGE, UPPER_LIP_EDGE
from backend.rendering.uv_space import texel_faces
from protocol.names import ARKIT_INDEX


@pytest.fixture(scope="module")
def template():
    return load_template()


def edge_uses(quads):
    sides = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    return np.unique(sides, axis=0, return_counts=True)


def test_counts_and_order(template):
    assert tuple(template.parts) == PART_ORDER
    assert template.head.vertex_stop == 4200 and template.head.face_stop == 4178
    stops = [(part.vertex_stop, part.face_stop) for part in template.parts.values()]
    starts = [(part.vertex_start, part.face_start) for part in template.parts.values()]
    assert starts == [(0, 0), *stops[:-1]] and stops[-1] == (len(template.vertices), len(template.quads))
    for part in template.parts.values():
        own = template.quads[part.face_start : part.face_stop]
        assert own.min() == part.vertex_start and own.max() == part.vertex_stop - 1
    known = template.hm08_vertex[template.hm08_vertex >= 0]
    assert len(set(known.tolist())) == len(known) and (np.diff(template.hm08_vertex[:4200]) > 0).all()


def test_parts_are_manifold_and_eyes_closed(template):
    for name, part in template.parts.items():
        edges, uses = edge_uses(template.quads[part.face_start : part.face_stop])
        assert uses.max() == 2, name
        if name.startswith("eye"):
            assert uses.min() == 2
        if name == "head":  # the only border is the neck: one closed ring
            border = edges[uses == 1]
            assert len(border) == 42 and np.bincount(border.ravel())[np.unique(border)].tolist() == [2] * 42


def test_quads_turn_outwards(template):
    points = template.vertices.astype(np.float64)
    for name in ("head", "eye_left", "eye_right"):
        part = template.parts[name]
        triangles = triangles_from_quads(template.quads[part.face_start : part.face_stop])
        a, b, c = (points[triangles[:, corner]] for corner in range(3))
        volume = np.einsum("ti,ti->", a - points[part.vertex_start], np.cross(b, c)) / 6
        assert volume > 0, name


def test_size_of_a_person(template):
    head = template.vertices[:4200]
    assert 0.13 < np.ptp(head[:, 0]) < 0.21 and 0.2 < np.ptp(head[:, 1]) < 0.3
    assert 0.058 < template.eye_pivots[0, 0] - template.eye_pivots[1, 0] < 0.067  # between the eyes
    assert 0.011 < template.eye_radius < 0.016


def test_mirror_is_an_involution_and_the_mean_is_symmetric(template):
    mirror = template.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    apart = template.vertices - mirrored(template.vertices, mirror)
    assert np.linalg.norm(apart, axis=1).max() < 1e-6
    swapped = {"eye_left": "eye_right", "eye_right": "eye_left"}
    for name, part in template.parts.items():
        other = template.parts[swapped.get(name, name)]
        images = mirror[part.vertex_start : part.vertex_stop]
        assert images.min() == other.vertex_start and images.max() == other.vertex_stop - 1
    # mirrored quads are quads
    own = {tuple(sorted(quad)) for quad in template.quads.tolist()}
    assert {tuple(sorted(quad)) for quad in mirror[template.quads].tolist()} == own


def test_modes_are_symmetric_or_antisymmetric_and_sorted(template):
    modes = template.identity_modes
    image = mirrored(modes, template.mirror)
    parity = np.sign((image * modes).sum((1, 2)))
    np.testing.assert_allclose(image, parity[:, None, None] * modes, atol=2e-6)
    assert (parity < 0).sum() > 10 and (parity > 0).sum() > 40
    weight = np.zeros(len(template.vertices))
    weight[:4200] = np.clip(template.regions["face"][:4200] + 0.05, 0, 1)
    variance = np.einsum("kvi,v->k", modes.astype(np.float64) ** 2, weight)
    assert (np.diff(variance) <= 1e-3 * variance[:-1]).all()


def test_modes_are_nearly_orthogonal(template):
    weight = np.repeat(np.sqrt(np.clip(template.regions["face"][:4200] + 0.05, 0, 1)), 3)
    flat = template.identity_modes[:, :4200].reshape(len(template.identity_modes), -1) * weight
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    overlap = np.abs(flat @ flat.T - np.eye(len(flat)))
    assert np.median(overlap) < 0.01 and overlap.max() < 0.5


def test_uv_maps(template):
    for uv, quads in (
        (template.uv_head, template.uv_head_quads),
        (template.uv_makehuman, template.uv_makehuman_quads),
    ):
        assert quads.shape == template.quads.shape and quads.max() < len(uv)
        assert uv.min() >= 0 and uv.max() <= 1
    first = template.uv_head[template.uv_head_quads[:, 2]] - template.uv_head[template.uv_head_quads[:, 0]]
    second = template.uv_head[template.uv_head_quads[:, 3]] - template.uv_head[template.uv_head_quads[:, 1]]
    assert (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0).all()  # no folds, no mirror images


def test_uv_head_does_not_overlap(template):
    size = 1024
    faces = triangles_from_quads(template.uv_head_quads)
    covered = (texel_faces(template.uv_head, faces, size) >= 0).sum() / size**2
    a, b, c = (template.uv_head[faces[:, corner]].astype(np.float64) for corner in range(3))
    area = 0.5 * np.abs(np.cross(b - a, c - a)).sum()
    assert area == pytest.approx(covered, abs=0.004)  # overlapping charts would cover less than their area
    assert area > 0.6


def test_head_map_is_upright_and_the_face_is_large(template):
    uv = np.zeros((len(template.vertices), 2))
    uv[template.quads.ravel()] = template.uv_head[template.uv_head_quads.ravel()]
    marks = template.landmarks68
    place = (uv[marks.vertices] * marks.barycentrics[..., None]).sum(1)
    assert place[8, 1] < place[57, 1] < place[33, 1] < place[27, 1]  # chin, lower lip, nose, bridge
    assert place[26, 0] - place[17, 0] > 0.2  # the left brow is at larger u
    face = (template.regions["face"][template.quads] > 0.5).all(1)
    corners = template.uv_head[template.uv_head_quads[face]]
    first, second = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    assert 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() > 0.25


def test_regions(template):
    assert tuple(template.regions) == REGION_NAMES
    for name, mask in template.regions.items():
        assert mask.shape == (len(template.vertices),) and mask.min() >= 0 and mask.max() == pytest.approx(1, abs=0.02)
        assert (mask[4200:] == 0).all(), name
    np.testing.assert_allclose(
        template.regions["lids_left"][template.mirror], template.regions["lids_right"], atol=0.03
    )
    both = template.regions["lip_upper"] + template.regions["lip_lower"]
    np.testing.assert_allclose(both, template.regions["lips"], atol=0.01)
    points = template.vertices
    assert (points[template.regions["lids_left"] > 0.5, 0] > 0).all()
    assert points[template.regions["chin"] > 0.9, 1].max() < points[template.regions["nose"] > 0.9, 1].min()


def test_landmarks(template):
    for embedding, count in ((template.landmarks68, 68), (template.landmarks478, 478)):
        assert embedding.vertices.shape == (count, 3) and embedding.deviation.min() > 0
        np.testing.assert_allclose(embedding.barycentrics.sum(1), 1, atol=1e-3)
        assert embedding.barycentrics.min() >= -1e-4
    marks = template.landmarks478
    assert (marks.vertices[:468] < 4200).all()
    left, right = template.parts["eye_left"], template.parts["eye_right"]
    assert (marks.vertices[473:478] >= left.vertex_start).all() and (marks.vertices[473:478] < left.vertex_stop).all()
    assert (marks.vertices[468:473] >= right.vertex_start).all() and (marks.vertices[468:473] < right.vertex_stop).all()
    places = marks.positions(template.vertices)
    rim = np.linalg.norm(places[474:478] - places[473], axis=1)
    assert (rim > 0.0045).all() and (rim < 0.0075).all()  # an iris has a radius of 5.9 mm
    hidden = template.regions["eye_sockets"] + template.regions["mouth_interior"] > 0.5
    assert not hidden[marks.vertices].all(1).any()


def test_contour_rows_run_outwards(template):
    rows = template.contour_rows
    assert rows.shape[0] >= 20 and (rows[:, :4] >= 0).all() and rows.max() < 4200
    for row in rows:
        row = row[row >= 0]
        assert len(set(row.tolist())) == len(row)
    ends = np.array([template.vertices[row[row >= 0]][[0, -1]] for row in rows])
    assert (np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1) > 0.02).all()
    assert ends[0, 1, 0] > 0.05 and ends[-1, 1, 0] < -0.05  # from the left ear to the right one
    assert ends[len(ends) // 2, :, 0] == pytest.approx(0, abs=0.01)  # over the chin


def people(template, count, seed=0):
    identities = np.random.default_rng(seed).normal(size=(count, len(template.identity_modes))).astype(np.float32)
    return template.vertices + np.tensordot(identities, template.identity_modes, 1)


def test_random_people_are_plausible(template):
    heads = people(template, 40)[:, :4200]
    width, height = np.ptp(heads[..., 0], axis=1), np.ptp(heads[..., 1], axis=1)
    assert width.min() > 0.13 and width.max() < 0.24 and height.min() > 0.18 and height.max() < 0.34
    apart = np.linalg.norm(heads - template.vertices[:4200], axis=2)[:, template.regions["face"][:4200] > 0.5]
    assert 3.0 < apart.mean() * 1e3 < 7.0


def test_eyes_lie_behind_the_lids_of_random_people(template):
    from backend.rig.measure import face_loops

    level, loops = subdivision(1), face_loops(template).eyes
    for cage in people(template, 25):
        surface = level.positions(cage)
        for eye, name in zip(loops, ("eye_left", "eye_right"), strict=True):
            part = level.parts[name]
            ball = surface[part.vertex_start : part.vertex_stop]
            centre = 0.5 * (ball.max(0) + ball.min(0))
            radius = np.linalg.norm(ball - centre, axis=1).mean()
            edge = np.linalg.norm(surface[eye.rows[eye.margin]] - centre, axis=1) - radius
            assert edge.min() > -0.0012 and edge.mean() > 0  # lids outside the ball (cage vertices come first)
            assert edge.mean() < 0.0035  # and resting on it
            front = surface[eye.rows[eye.margin], 2].mean()
            assert centre[2] < front < centre[2] + radius


def test_teeth_stay_behind_the_lips_of_random_people(template):
    for cage in people(template, 25, seed=3):
        lips = cage[:4200][template.regions["lips"][:4200] > 0.6]
        for name in ("teeth_upper", "teeth_lower", "tongue"):
            part = template.parts[name]
            assert cage[part.vertex_start : part.vertex_stop, 2].max() < lips[:, 2].max() - 0.003


def test_lips_stay_closed_on_random_people(template):
    from backend.rig.measure import face_loops

    mouth = face_loops(template).mouth
    contact = mouth.rows[mouth.contact]

    def gap(points):
        upper, lower = points[contact[mouth.upper]], points[contact[mouth.lower]]
        order = np.argsort(lower[:, 0])
        return upper[:, 1] - np.interp(upper[:, 0], lower[order, 0], lower[order, 1])

    rest = gap(template.vertices[:4200])
    for cage in people(template, 25, seed=4):
        assert np.abs(gap(cage[:4200]) - rest).max() < 0.0015


def test_expressions(template):
    keys = template.expressions
    assert keys.shape == (52, len(template.vertices), 3)
    size = np.linalg.norm(keys[:, :4200], axis=2).max(1)
    assert (size[[i for i in range(52)]] > 0.0005).sum() >= 44  # all but the eyes' turns move the skin clearly
    jaw = keys[17]
    assert jaw[template.regions["chin"] > 0.9, 1].max() < -0.008  # jawOpen lowers the chin


def test_jaw_skin(template):
    assert template.jaw_weights[template.regions["chin"] > 0.9].min() > 0.5
    assert template.jaw_weights[template.regions["forehead"] > 0.5].max() < 0.05
    chin = template.vertices[template.regions["chin"] > 0.9].mean(0)
    assert template.jaw_pivot[2] < chin[2] and template.jaw_pivot[1] > chin[1]


def test_file_is_small_and_reads_back(template, tmp_path):
    assert TEMPLATE_PATH.stat().st_size < 4_000_000
    save_template(template, tmp_path / "again.safetensors")
    again = read_template(tmp_path / "again.safetensors")
    np.testing.assert_array_equal(again.vertices, template.vertices)
    np.testing.assert_array_equal(again.uv_head, template.uv_head)
    np.testing.assert_allclose(again.identity_modes, template.identity_modes, atol=1e-6)
    np.testing.assert_allclose(again.expressions, template.expressions, atol=2e-5)
    np.testing.assert_array_equal(again.hm08_vertex, template.hm08_vertex)


def test_the_lips_edges_meet_on_the_shut_mouth_and_part_with_the_jaw() -> None:
    template = load_template()
    jaw = template.expressions[ARKIT_INDEX["jawOpen"]]
    shut, wide = (template.landmarks478.positions(template.vertices + jaw * weight) for weight in (0.0, 1.0))
    lower, upper = list(LOWER_LIP_EDGE), list(UPPER_LIP_EDGE)
    assert np.linalg.norm(shut[upper] - shut[lower], axis=1).max() < 0.002
    assert (wide[upper] - wide[lower])[:, 1].min() > 0.012


def test_a_mode_that_is_not_symmetric_cannot_be_saved(template, tmp_path):
    modes = template.identity_modes.copy()
    modes[3, 10] += 0.001
    with pytest.raises(ValueError, match="symmetric"):
        save_template(replace(template, identity_modes=modes), tmp_path / "x.safetensors")


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "changed", "text"])
def test_damaged_files_are_refused(damage, tmp_path):
    path = tmp_path / "template.safetensors"
    data = bytearray(TEMPLATE_PATH.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "changed":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif damage == "text":
        path.write_text("this is not a template")
    with pytest.raises(LikenessError) as caught:
        read_template(path)
    assert caught.value.code == "missing_part" and caught.value.advice


def test_loading_needs_no_training_code():
    code = (
        "import sys; from backend.geometry.template import load_template; load_template(); "
        "assert not {'torch', 'anny', 'ai_edge_litert'} & set(sys.modules), sys.modules.keys()"
    )
    root = TEMPLATE_PATH.parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
