import numpy as np
import torch

from backend.geometry.normals import vertex_normals

CUBE = np.array([[x, y, z] for x in (0, 1.0) for y in (0, 1.0) for z in (0, 1.0)])
FRONT = np.array([[1, 5, 7], [1, 7, 3]])  # z = 1, counter-clockwise seen from +z


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
