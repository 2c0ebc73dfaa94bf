import pytest
import torch

from backend.rendering.rasterize import face_ids
from backend.rendering.silhouette import edge_faces, signed_distance, soft_silhouette


def tetrahedron(dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.tensor([[[6.2, 5.1, 2.0], [25.3, 8.4, 2], [13.7, 26.6, 2], [15.1, 13.3, 1]]], dtype=dtype)
    return points, torch.tensor([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]])


def ball(centre: torch.Tensor, radius: float, n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """(1, V, 3) a sphere in pixels at depth 100, closed."""
    around, along = torch.meshgrid(
        2 * torch.pi * torch.arange(n) / n, torch.pi * (torch.arange(n // 2) + 0.5) / (n // 2), indexing="ij"
    )
    unit = torch.stack([along.sin() * around.sin(), along.cos(), along.sin() * around.cos()], -1)
    index = torch.arange(n * (n // 2)).view(n, n // 2)
    a, b, c, d = index[:, :-1], index[:, 1:], index.roll(-1, 0)[:, 1:], index.roll(-1, 0)[:, :-1]
    faces = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([a, c, d], -1).view(-1, 3)])
    points = unit.view(1, -1, 3) * radius * torch.tensor([1, 1, 0.5])
    return points + torch.cat([centre, torch.tensor([100.0])]), faces


def test_edges_of_a_tetrahedron():
    _, faces = tetrahedron()
    topology = edge_faces(faces)
    assert topology.edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    for edge, beside in zip(topology.edges, topology.faces, strict=True):
        assert all(set(edge.tolist()) <= set(faces[f].tolist()) for f in beside.tolist())
        assert beside[0] != beside[1]
    single = edge_faces(torch.tensor([[0, 1, 2]]))
    assert (single.faces[:, 1] == -1).all() and (single.faces[:, 0] == 0).all()


def test_distance_to_the_outline_of_a_triangle():
    points, faces = tetrahedron()
    ids = face_ids(points, faces, (32, 32))
    distance = signed_distance(points, faces, ids, edge_faces(faces), band=5.0)[0]
    outline = points[0, [0, 1, 2], :2]
    y, x = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    centres = torch.stack([x, y], -1).double()
    expected = torch.full((32, 32), 1e9, dtype=torch.float64)
    for i in range(3):
        start, end = outline[i], outline[(i + 1) % 3]
        share = ((centres - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
        expected = torch.minimum(expected, (centres - start - share[..., None] * (end - start)).norm(dim=-1))
    expected = expected.clamp(max=5.0) * torch.where(ids[0] >= 0, 1.0, -1.0)
    assert torch.allclose(distance, expected, atol=1e-5)


def test_gradients_equal_finite_differences():
    points, faces = tetrahedron()
    ids, topology = face_ids(points, faces, (32, 32)), edge_faces(faces)

    def mask(points):
        return soft_silhouette(points, faces, ids, topology, softness=0.8, band=5.0)

    assert torch.autograd.gradcheck(mask, (points.requires_grad_(),), eps=1e-6, atol=1e-5)


def test_nothing_visible_gives_no_outline():
    points, faces = tetrahedron()
    points = points + torch.tensor([500.0, 0, 0])
    ids = face_ids(points, faces, (32, 32))
    assert (signed_distance(points, faces, ids, edge_faces(faces), band=3.0) == -3).all()


def test_inner_contours_do_not_count():
    far, faces = ball(torch.tensor([32.0, 32.0]), 26.0)
    near, _ = ball(torch.tensor([32.0, 32.0]), 8.0)
    near = near - torch.tensor([0, 0, 50.0])
    points, both = torch.cat([far, near], 1), torch.cat([faces, faces + far.shape[1]])
    ids = face_ids(points, both, (64, 64))
    distance = signed_distance(points, both, ids, edge_faces(both), band=4.0)[0]
    assert (distance[22:42, 22:42] == 4).all()


@pytest.mark.parametrize("shift", [(4.0, -3.0), (-6.0, 5.0)])
def test_a_ball_finds_its_mask(shift):
    target, faces = ball(torch.tensor([32.0, 30.0]), 14.0)
    mask = (face_ids(target, faces, (64, 64)) >= 0).float()
    start, _ = ball(torch.tensor([32.0 + shift[0], 30.0 + shift[1]]), 11.0)
    topology = edge_faces(faces)
    offset = torch.zeros(2, requires_grad=True)
    size = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [offset], "lr": 0.3}, {"params": [size], "lr": 0.02}])
    middle = start.mean(1)[0]
    for _ in range(80):
        moved = (start - middle) * size.exp() + middle + torch.cat([offset, torch.zeros(1)])
        ids = face_ids(moved, faces, (64, 64))
        loss = (soft_silhouette(moved, faces, ids, topology, softness=1.0) - mask).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.allclose(offset, -torch.tensor(shift), atol=0.2)
    assert abs(11.0 * size.exp().item() - 14.0) < 0.3
