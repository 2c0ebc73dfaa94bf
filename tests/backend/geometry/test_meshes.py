"""Topology, normals and Catmull-Clark matrices of meshes, and smooth fields on them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from backend.geometry import template as topology
from backend.geometry.robust_statistics import robust_consensus
from backend.geometry.subdivision import catmull_clark, linear_split, subdivision
from backend.geometry.surface_fields import compression, smooth_field, surface_operators
from backend.geometry.vectors import vertex_normals

QUADS = np.array([[0, 1, 4, 3], [1, 2, 5, 5]], np.int32)  # a quad, and a triangle beside it
CUBE = np.array([[x, y, z] for x in (0, 1.0) for y in (0, 1.0) for z in (0, 1.0)])
FRONT = np.array([[1, 5, 7], [1, 7, 3]])  # z = 1, counter-clockwise seen from +z
BOX = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) * 2.0 - 1.0


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(n * n).reshape(n, n)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    y, x = np.mgrid[:n, :n]
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float), quads


def test_triangles_of_quads():
    np.testing.assert_array_equal(topology.triangles_from_quads(QUADS), [[0, 1, 4], [0, 4, 3], [1, 2, 5]])
    split = topology.triangulate(QUADS)
    np.testing.assert_array_equal(split.quad, [0, 0, 1])
    np.testing.assert_array_equal(split.apply(QUADS), split.faces)
    np.testing.assert_array_equal(split.apply([[10, 11, 12, 13], [14, 15, 16, 16]])[1], [10, 12, 13])
    with pytest.raises(ValueError, match="quads"):
        topology.triangulate(QUADS[:, :3])


def test_edges():
    np.testing.assert_array_equal(
        topology.unique_edges(QUADS), [[0, 1], [0, 3], [1, 2], [1, 4], [1, 5], [2, 5], [3, 4]]
    )
    vertices, quads = grid(4)
    assert len(topology.unique_edges(quads)) == 24 and len(topology.boundary_edges(quads)) == 12
    faces = topology.triangles_from_quads(quads)
    assert len(vertices) - len(topology.unique_edges(faces)) + len(faces) == 1  # Euler, a disc
    outline = topology.boundary_edges(faces)
    assert sorted(outline[:, 0]) == sorted(outline[:, 1]) and len(outline) == 12


def test_uniform_laplacian():
    vertices, quads = grid(5)
    laplacian = topology.uniform_laplacian(quads, 26)
    np.testing.assert_allclose(laplacian @ np.ones(26), 0, atol=1e-12)
    moved = laplacian[:25, :25] @ vertices
    np.testing.assert_allclose(moved[12], 0, atol=1e-12)
    np.testing.assert_allclose(moved[0], [0.5, 0.5, 0])
    assert abs(laplacian[25]).sum() == 0


def test_front_of_a_cube_faces_forward():
    normals = vertex_normals(CUBE, FRONT)
    np.testing.assert_allclose(normals[[1, 3, 5, 7]], np.tile([0, 0, 1], (4, 1)))
    assert (normals[[0, 2, 4, 6]] == 0).all()  # no face there


def test_large_faces_count_more():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 10.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])  # area 0.5 facing +z, area 5 facing +x
    expected = np.array([10, 0, 1]) / np.sqrt(101)
    np.testing.assert_allclose(vertex_normals(vertices, faces)[0], expected)


def test_torch_equals_numpy_and_batches():
    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(2, 3, 12, 3)), rng.integers(0, 12, (20, 3))
    ours = vertex_normals(vertices, faces)
    theirs = vertex_normals(torch.tensor(vertices), torch.tensor(faces))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours[1, 2], vertex_normals(vertices[1, 2], faces), atol=1e-12)


def test_gradient_and_degenerate_faces():
    vertices = torch.randn(2, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    faces = torch.tensor([[0, 1, 2], [2, 1, 3], [4, 2, 3], [5, 5, 6]])
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces)[:, :5], vertices.requires_grad_())
    normals = vertex_normals(vertices, faces)
    normals.sum().backward()
    assert torch.isfinite(vertices.grad).all() and (normals[:, 5:] == 0).all()


def test_a_cube_becomes_what_the_rule_says():
    matrix, quads = catmull_clark(BOX, 8)
    points = matrix @ CORNERS
    assert len(quads) == 24 and len(points) == 26
    # face centre 1; edge middle (1, 1, 0), face points (1, 0, 0), (0, 1, 0): 0.75; vertex: (1/3 + 2 * 2/3) / 3 = 5/9
    np.testing.assert_allclose(np.sort(np.unique(np.abs(points).round(9))), [0, 5 / 9, 0.75, 1.0])
    np.testing.assert_allclose(np.abs(points[:8]), 5 / 9)


def test_borders_follow_the_cubic_spline():
    quads = np.array([[0, 1, 4, 3], [1, 2, 5, 4]])
    points = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [1, 3], [2, 1.0]])
    new = catmull_clark(quads, 6)[0] @ points
    np.testing.assert_allclose(new[4], [1.0, 1 / 8 + 3 * 3 / 4 + 1 / 8])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_rows_sum_to_one_and_counts_are_right(level):
    matrix = subdivision(level).matrix
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1.0, atol=2e-6)
    head = subdivision(level).parts["head"]
    assert head.vertex_stop == {0: 4200, 1: 16755, 2: 66933}[level]
    assert len(subdivision(level).quads) == len(topology.load_template().quads) * 4**level


def test_a_plane_stays_a_plane_and_translation_commutes():
    template, level = topology.load_template(), subdivision(1)
    flat = template.vertices.copy()
    flat[:, 2] = 0.25 * flat[:, 0] - 0.5 * flat[:, 1]
    fine = level.positions(flat)
    np.testing.assert_allclose(fine[:, 2], 0.25 * fine[:, 0] - 0.5 * fine[:, 1], atol=1e-6)
    moved = level.positions(template.vertices + np.float32(0.1))
    np.testing.assert_allclose(moved, level.positions(template.vertices) + np.float32(0.1), atol=1e-6)


def test_maps_keep_their_area_and_corners():
    template, level = topology.load_template(), subdivision(2)

    def area(uv, quads):
        first, second = uv[quads[:, 2]] - uv[quads[:, 0]], uv[quads[:, 3]] - uv[quads[:, 1]]
        return 0.5 * (first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).astype(np.float64)

    fine = area(level.uv_head, level.uv_head_quads).reshape(len(template.quads), 16).sum(1)
    np.testing.assert_allclose(fine, area(template.uv_head, template.uv_head_quads), atol=2e-7)
    # the first child's first corner is the parent's first corner
    np.testing.assert_allclose(
        level.uv_head[level.uv_head_quads[::16, 0]], template.uv_head[template.uv_head_quads[:, 0]]
    )


def test_non_manifold_meshes_are_refused():
    with pytest.raises(ValueError, match="more than two faces"):
        catmull_clark(np.array([[0, 1, 2, 3], [0, 1, 4, 5], [0, 1, 6, 7]]), 8)
    with pytest.raises(ValueError, match="repeats"):
        catmull_clark(np.array([[0, 1, 2, 2]]), 3)


def test_the_linear_split_interpolates():
    matrix, quads = linear_split(BOX, 8)
    np.testing.assert_allclose(np.abs(matrix @ CORNERS).max(1), 1.0)
    assert quads.max() == 25


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a square with sides of 0.1."""
    vertices, quads = grid(24)
    return 0.1 / 23 * vertices, topology.triangles_from_quads(quads)


def test_operators_have_the_right_area_and_kernel() -> None:
    operators = surface_operators(*_grid())
    assert abs(operators.mass.sum() - 0.01) < 1e-9
    assert np.abs(operators.stiffness @ np.ones(24 * 24)).max() < 1e-9


def test_constants_are_kept_and_gaps_filled_within_range() -> None:
    vertices, triangles = _grid()
    operators = surface_operators(vertices, triangles)
    values = np.where(vertices[:, :1] < 0.05, 0.2, 0.6)
    weights = (np.abs(vertices[:, 0] - 0.05) > 0.02).astype(float)
    field = smooth_field(operators, values, weights, 0.01)
    assert field.min() > 0.19 and field.max() < 0.61
    order = np.argsort(vertices[:24, 0])
    assert (np.diff(field[:24, 0][order]) > -1e-6).all()
    flat = smooth_field(operators, np.full_like(values, 0.4), weights, 0.01)
    np.testing.assert_allclose(flat, 0.4, atol=1e-6)


def test_far_from_samples_the_anchor_takes_over() -> None:
    vertices, triangles = _grid()
    operators = surface_operators(vertices, triangles)
    weights = (vertices[:, 0] < 0.004).astype(float)
    field = smooth_field(operators, np.ones((len(vertices), 1)), weights, 0.004, np.zeros(1), 0.1)
    assert field[vertices[:, 0] < 0.004].mean() > 0.6
    assert field[vertices[:, 0] > 0.09].max() < 0.05


def test_one_photo_in_five_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(200, 3))
    photos = truth + 0.02 * rng.normal(size=(5, 200, 3))
    photos[2] += 0.8
    consensus, total = robust_consensus(photos, np.ones((5, 200)), 0.15)
    assert np.abs(consensus - truth).max() < 0.08
    assert (total > 3).all() and (total < 4.3).all()


def test_nothing_seen_gives_zero() -> None:
    consensus, total = robust_consensus(np.ones((2, 4, 3)), np.zeros((2, 4)), 0.1)
    assert (consensus == 0).all() and (total == 0).all()


def test_what_one_photo_alone_shows_is_an_outlier_however_large_its_share() -> None:
    photos = np.stack([np.full((4, 3), level) for level in (0.0, 0.02, -3.0)])  # a microphone before the third
    consensus, total = robust_consensus(photos, np.ones((3, 4)), 0.15, share=np.array([0.1, 0.3, 1.0]))
    np.testing.assert_allclose(consensus, 0.015, atol=0.002)
    np.testing.assert_allclose(total, 0.4, atol=0.02)


def test_compression_is_the_strain_of_the_direction_shortened_most() -> None:
    rest = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    narrow = rest * [0.8, 1.3, 1.0]
    np.testing.assert_allclose(compression(rest, narrow, triangles), 0.5 * (1 - 0.8**2), atol=1e-9)
    np.testing.assert_allclose(compression(rest, rest * [1.2, 1.1, 1.0], triangles), 0.0, atol=1e-9)


def test_a_rigid_motion_compresses_nothing() -> None:
    generator = np.random.default_rng(0)
    rest = generator.normal(size=(30, 3))
    triangles = generator.permuted(np.tile(np.arange(30), (20, 1)), axis=1)[:, :3]
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    assert compression(rest, rest @ turn.T + 1.0, triangles).max() < 1e-7
