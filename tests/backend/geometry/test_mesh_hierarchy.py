"""The head at several resolutions, and the deformation graph on it."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import coo_matrix

from backend.errors import DamagedFileError
from backend.geometry.deformation_graph import PAPER_NODES, build_graph, deformation_graph
from backend.geometry.mesh_hierarchy import HIERARCHY_PATH, load_mesh_hierarchy
from backend.geometry.template import boundary_edges, load_template, mirrored, unique_edges
from backend.rig.measure import face_loops
from protocol.names import ARKIT_INDEX

TEMPLATE = load_template()
HEAD = TEMPLATE.head
COUNT = HEAD.vertex_stop
MIRROR = TEMPLATE.mirror[:COUNT].astype(np.int64)
ON_FACE = TEMPLATE.regions["face"][:COUNT] > 0.5


@pytest.fixture(scope="module")
def levels():
    return load_mesh_hierarchy().levels


def test_the_finest_level_is_the_head_and_each_other_a_quarter(levels) -> None:
    assert len(levels[0].vertices) == load_template().head.vertex_stop
    for fine, coarse in pairwise(levels):
        assert len(coarse.vertices) == pytest.approx(len(fine.vertices) / 4, rel=0.03)
        assert np.isin(coarse.vertices, fine.vertices).all()


def test_every_level_is_one_surface_without_holes_or_branches(levels) -> None:
    for level in levels:
        faces, edges = level.faces, unique_edges(level.faces)
        assert len(np.unique(faces)) == len(level.vertices)
        assert np.array_equal(edges, level.edges)
        pairs = np.sort(np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2), 1)
        assert np.unique(pairs, axis=0, return_counts=True)[1].max() <= 2
        # a disc: one border, the neck's, and nothing else open
        assert len(level.vertices) - len(edges) + len(faces) == 1
        border = boundary_edges(faces)
        assert len(np.unique(border)) == len(border)


def test_every_level_is_its_own_mirror_image(levels) -> None:
    mirror = load_template().mirror
    for level, finer in zip(levels, (None, *levels), strict=False):
        own = np.searchsorted(level.vertices, mirror[level.vertices])
        assert np.array_equal(level.vertices[own], mirror[level.vertices])
        turned = own[level.faces][:, ::-1]
        assert {_from_smallest(f) for f in level.faces} == {_from_smallest(f) for f in turned}
        if finer is not None:
            up = _matrix(level, finer).toarray()
            across = np.searchsorted(finer.vertices, mirror[finer.vertices])
            assert np.allclose(up[across][:, own], up, atol=1e-6)


def test_unpooling_gives_constants_and_kept_vertices_back(levels) -> None:
    template = load_template()
    for level, finer in zip(levels[1:], levels, strict=False):
        up = _matrix(level, finer)
        assert np.allclose(up.sum(1), 1, atol=1e-6)
        kept = np.searchsorted(finer.vertices, level.vertices)
        points = template.vertices[level.vertices]
        assert np.abs((up @ points)[kept] - points).max() < 1e-6


def test_a_smile_survives_the_first_level(levels) -> None:
    """And lips that touch do not pull at each other: opening the jaw is as exact."""
    template = load_template()
    count = template.head.vertex_stop
    up = _matrix(levels[1], levels[0])
    for name in ("mouthSmileLeft", "jawOpen"):
        key = template.expressions[ARKIT_INDEX[name], :count].astype(np.float64)
        error = up @ key[levels[1].vertices] - key
        assert np.linalg.norm(error) < 0.12 * np.linalg.norm(key)


def test_a_damaged_file_is_named(tmp_path) -> None:
    broken = tmp_path / "mesh_hierarchy.safetensors"
    broken.write_bytes(HIERARCHY_PATH.read_bytes()[:1000])
    with pytest.raises(DamagedFileError, match="mesh_hierarchy"):
        load_mesh_hierarchy(broken)


def _from_smallest(face: np.ndarray) -> tuple[int, ...]:
    return tuple(np.roll(face, -int(face.argmin())).tolist())


def _matrix(level, finer):
    values = (level.up_values.astype(np.float64), (level.up_rows, level.up_columns))
    return coo_matrix(values, (len(finer.vertices), len(level.vertices))).tocsr()


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
