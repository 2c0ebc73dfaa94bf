import numpy as np
import pytest

from backend.geometry.template import (
    boundary_edges,
    triangles_from_quads,
    triangulate,
    uniform_laplacian,
    unique_edges,
    vertex_adjacency,
)

QUADS = np.array([[0, 1, 4, 3], [1, 2, 5, 5]], np.int32)  # a quad, and a triangle beside it


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(n * n).reshape(n, n)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    y, x = np.mgrid[:n, :n]
    return np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(float), quads


def test_triangles_of_quads():
    np.testing.assert_array_equal(triangles_from_quads(QUADS), [[0, 1, 4], [0, 4, 3], [1, 2, 5]])
    split = triangulate(QUADS)
    np.testing.assert_array_equal(split.quad, [0, 0, 1])
    np.testing.assert_array_equal(split.apply(QUADS), split.faces)
    np.testing.assert_array_equal(split.apply([[10, 11, 12, 13], [14, 15, 16, 16]])[1], [10, 12, 13])
    with pytest.raises(ValueError, match="quads"):
        triangulate(QUADS[:, :3])


def test_edges():
    np.testing.assert_array_equal(unique_edges(QUADS), [[0, 1], [0, 3], [1, 2], [1, 4], [1, 5], [2, 5], [3, 4]])
    vertices, quads = grid(4)
    assert len(unique_edges(quads)) == 24 and len(boundary_edges(quads)) == 12
    faces = triangles_from_quads(quads)
    assert len(vertices) - len(unique_edges(faces)) + len(faces) == 1  # Euler, a disc
    outline = boundary_edges(faces)
    assert sorted(outline[:, 0]) == sorted(outline[:, 1]) and len(outline) == 12


def test_adjacency_and_components():
    adjacency = vertex_adjacency(QUADS, 7).toarray()
    assert (adjacency == adjacency.T).all() and adjacency[1].nonzero()[0].tolist() == [0, 2, 4, 5]
    assert adjacency[6].sum() == 0


def test_uniform_laplacian():
    vertices, quads = grid(5)
    laplacian = uniform_laplacian(quads, 26)
    np.testing.assert_allclose(laplacian @ np.ones(26), 0, atol=1e-12)
    moved = laplacian[:25, :25] @ vertices
    np.testing.assert_allclose(moved[12], 0, atol=1e-12)
    np.testing.assert_allclose(moved[0], [0.5, 0.5, 0])
    assert abs(laplacian[25]).sum() == 0
