"""The deformation graph: symmetric, local, a partition of unity, fine enough for faces; refinement in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.geometry.deformation_graph import PAPER_NODES, build_graph, deformation_graph
from backend.geometry.subdivision import refinement, refinements, subdivision
from backend.geometry.template import load_template, mirrored
from backend.rig.measure import face_loops

TEMPLATE = load_template()
HEAD = TEMPLATE.head
COUNT = HEAD.vertex_stop
MIRROR = TEMPLATE.mirror[:COUNT].astype(np.int64)
ON_FACE = TEMPLATE.regions["face"][:COUNT] > 0.5


def test_the_papers_graph_is_symmetric_and_a_partition_of_unity() -> None:
    graph = deformation_graph()
    assert len(np.unique(graph.nodes)) == len(graph.nodes) == PAPER_NODES
    np.testing.assert_array_equal(graph.nodes[graph.mirror], MIRROR[graph.nodes])
    np.testing.assert_allclose(graph.weights.sum(1), 1, atol=1e-5)
    assert graph.weights.min() >= 0
    np.testing.assert_allclose(graph.weights[MIRROR][:, graph.mirror], graph.weights, atol=1e-5)
    assert {tuple(e) for e in np.sort(graph.mirror[graph.edges], axis=1)} == {tuple(e) for e in graph.edges}
    deltas = np.random.default_rng(0).normal(size=(3, PAPER_NODES, 3)).astype(np.float32)
    across = deltas[:, graph.mirror] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(graph.offsets(across), mirrored(graph.offsets(deltas), MIRROR), atol=1e-5)


def test_nodes_move_what_is_near_and_one_lip_alone() -> None:
    graph = deformation_graph()
    place = TEMPLATE.vertices[:COUNT]
    spread = np.einsum("vg,vg->v", graph.weights, np.linalg.norm(place[:, None] - place[graph.nodes][None], axis=-1))
    assert np.median(spread[ON_FACE]) < 0.010 and np.percentile(spread[ON_FACE], 95) < 0.016, "metres"
    mouth = face_loops(TEMPLATE).mouth
    upper, lower = (mouth.rows[mouth.contact + 1, columns[len(columns) // 2]] for columns in (mouth.upper, mouth.lower))
    assert np.linalg.norm(place[upper] - place[lower]) < 0.006, "the lips touch"
    assert float(np.minimum(graph.weights[upper], graph.weights[lower]).sum()) < 0.1, "and do not follow each other"


def test_it_is_fine_enough_for_identities_and_expressions() -> None:
    graph = deformation_graph()
    face = 0.05 + TEMPLATE.regions["face"][:COUNT]
    for offsets, mean, most in (
        (TEMPLATE.identity_modes[:40, :COUNT], 0.06, 0.4),
        (TEMPLATE.expressions[:, :COUNT], 0.1, 1.2),
    ):
        wrong = np.linalg.norm(graph.offsets(graph.fitted(offsets, face)) - offsets, axis=-1)[:, ON_FACE] * 1000
        assert wrong.mean() < mean and np.percentile(wrong, 99) < most, "millimetres"


def test_one_move_of_all_nodes_moves_everything_alike_and_is_found_again() -> None:
    graph = build_graph(TEMPLATE, 60)
    shift = np.array([0.001, -0.002, 0.003], np.float32)
    moved = graph.offsets(np.broadcast_to(shift, (60, 3)))
    np.testing.assert_allclose(moved, np.broadcast_to(shift, moved.shape), atol=1e-8)
    np.testing.assert_allclose(graph.fitted(moved), np.broadcast_to(shift, (60, 3)), atol=1e-6)
    laplacian = graph.laplacian()
    x = np.random.default_rng(1).normal(size=60)
    a, b = graph.edges.T
    assert x @ laplacian @ x == pytest.approx(((x[a] - x[b]) ** 2).sum())


def test_the_same_template_gives_the_same_graph_and_bad_sizes_are_refused() -> None:
    np.testing.assert_array_equal(build_graph(TEMPLATE, 41).nodes, build_graph(TEMPLATE, 41).nodes)
    with pytest.raises(ValueError, match="8 to"):
        build_graph(TEMPLATE, 3)


def test_refinement_gives_what_the_subdivision_matrices_give() -> None:
    quads = TEMPLATE.quads[HEAD.face_start : HEAD.face_stop]
    values = torch.from_numpy(TEMPLATE.vertices[:COUNT])
    for level, step in enumerate(refinements(quads, COUNT, 2), start=1):
        values = step(values)
        known = subdivision(level)
        part = known.parts["head"]
        expected = (known.matrix @ TEMPLATE.vertices)[part.vertex_start : part.vertex_stop]
        np.testing.assert_allclose(values.numpy(), expected, atol=2e-6)
        np.testing.assert_array_equal(step.refined, known.quads[part.face_start : part.face_stop])
    with pytest.raises(ValueError, match="repeats a corner"):
        refinement(np.array([[0, 1, 2, 2]]), 3)
