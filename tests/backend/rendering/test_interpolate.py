"""Barycentrics, depth and surfaces of depth maps; gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.rendering import depth_surface
from backend.rendering.camera import CanonicalCamera, View, rotation_from_euler, view_from_network
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

SIZE = (9, 12)
CAMERA = CanonicalCamera((24, 32))


def scene(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 12, 3, generator=generator, dtype=dtype) * torch.tensor([12.0, 9.0, 1.0], dtype=dtype)
    points = points + torch.tensor([0.0, 0.0, 0.5], dtype=dtype)
    faces = torch.randint(0, 12, (9, 3), generator=generator)
    return points, faces, face_ids(points, faces, SIZE)


def barycentrics(points, faces, ids):
    found = fragments(ids, faces)
    return found.scatter(fragment_barycentrics(points, found))


def depth(points, faces, ids):
    found = fragments(ids, faces)
    return found.scatter(fragment_values(points[..., 2:], found, fragment_barycentrics(points, found)))[..., 0]


def test_barycentrics_are_where_the_ray_meets_the_triangle():
    points, faces, ids = scene()
    weights = barycentrics(points, faces, ids)
    focal, middle = 20.0, np.array([6.0, 4.5])
    for image, row, column in (ids >= 0).nonzero().tolist():
        corners = points[image, faces[ids[image, row, column]]].numpy()
        in_camera = np.concatenate([(corners[:, :2] - middle) / focal, np.ones((3, 1))], 1) * corners[:, 2:]
        ray = np.array([(column + 0.5 - middle[0]) / focal, (row + 0.5 - middle[1]) / focal, 1.0])
        share = np.linalg.solve(in_camera.T, ray)  # ray * t = sum b_i v_i with sum b_i = 1
        np.testing.assert_allclose(weights[image, row, column], share / share.sum(), atol=1e-9)
        np.testing.assert_allclose(depth(points, faces, ids)[image, row, column], 1 / share.sum(), rtol=1e-9)
    assert (ids >= 0).sum() > 20


def test_empty_pixels_are_zero_and_the_rest_sums_to_one():
    points, faces, ids = scene()
    assert torch.allclose(barycentrics(points, faces, ids).sum(-1), (ids >= 0).double())
    assert (depth(points, faces, ids)[ids < 0] == 0).all()


@pytest.mark.parametrize("backend", ["auto", "pytorch3d"])
def test_gradients_equal_finite_differences(backend):
    if backend != "auto":
        pytest.importorskip(backend)
    points, faces, _ = scene()
    ids = face_ids(points, faces, SIZE, backend=backend)
    generator = torch.Generator().manual_seed(1)
    attributes = torch.rand(2, 12, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    shared = torch.rand(1, 12, 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def image(points, attributes, shared):
        found = fragments(ids, faces)
        weights = fragment_barycentrics(points, found)
        values = [fragment_values(kind, found, weights) for kind in (attributes, shared, points[..., 2:])]
        return *(found.scatter(one) for one in values), found.scatter(weights)

    assert torch.autograd.gradcheck(image, (points.requires_grad_(), attributes, shared))


def test_images_hold_the_compact_values_and_the_background():
    points, faces, ids = scene(torch.float32)
    found = fragments(ids, faces)
    values = fragment_values(points, found, fragment_barycentrics(points, found))
    images = found.scatter(values, 7.0)
    assert torch.equal(found.gather(images), values) and torch.equal(images[ids >= 0], values)
    assert images[ids < 0].eq(7).all()
    assert torch.equal(found.image, found.pixel // (SIZE[0] * SIZE[1]))


def test_other_faces_carry_other_attributes():
    points, faces, ids = scene()
    uv_faces = torch.arange(27).view(9, 3)
    uv = points[:, faces.view(-1), :2]  # every corner its own
    found, in_uv = fragments(ids, faces), fragments(ids, uv_faces)
    weights = fragment_barycentrics(points, found)
    own = fragment_values(uv, in_uv, weights)
    assert torch.allclose(own, fragment_values(points[..., :2], found, weights))


def test_gradient_moves_a_vertex_towards_a_target_depth():
    points = torch.tensor([[[-20.0, -20, 1], [40, -20, 1], [-20, 40, 1]]], dtype=torch.float64, requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    for _ in range(300):
        ids = face_ids(points, faces, (8, 8))
        error = (depth(points, faces, ids) - 1.5).square().mean()
        (gradient,) = torch.autograd.grad(error, points)
        points = (points - torch.tensor([0, 0, 0.4]) * gradient).detach().requires_grad_()
    assert error < 2e-5


def test_faces_seen_edge_on_do_no_harm():
    # The first is a sliver of 1e-6 square pixels through the pixel centre (2.5, 2.5), the second has no area at all.
    points = torch.tensor([[[0.5, 0.5, 1], [4.5, 4.5 + 5e-7, 2], [0.5, 0.5 - 1e-7, 3], [3, 3, 1]]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [3, 3, 3]])
    ids = torch.full((1, 5, 5), -1)
    ids[0, 2, 2], ids[0, 3, 3] = 0, 1
    points.requires_grad_()
    weights = barycentrics(points, faces, ids)
    assert torch.allclose(weights[0, 2, 2], torch.full((3,), 1 / 3, dtype=torch.float64))
    seen = depth(points, faces, ids)
    (seen.sum() + (weights * torch.rand(3)).sum()).backward()
    assert torch.isfinite(points.grad).all() and points.grad.abs().max() <= 4


def bump(count: int = 2, size: tuple[int, int] = CAMERA.size, dtype=torch.float32) -> torch.Tensor:
    """A face-like bump: 0.95 deep in the middle, 1.05 at the border."""
    height, width = size
    y = (torch.arange(height, dtype=dtype) + 0.5) / height * 2 - 1
    x = (torch.arange(width, dtype=dtype) + 0.5) / width * 2 - 1
    radius = (x[None] ** 2 + y[:, None] ** 2).sqrt()
    depth = 1.05 - 0.1 * torch.exp(-3 * radius**2)
    return torch.stack([depth + 0.01 * i for i in range(count)])


def turned(yaw_degrees: float, dtype=torch.float32) -> View:
    angles = torch.tensor([[0.0, yaw_degrees, 0.0]], dtype=dtype).deg2rad()
    return View(rotation_from_euler(angles), torch.zeros(1, 3, dtype=dtype))


def identity(count: int = 2, dtype=torch.float32) -> View:
    return view_from_network(torch.zeros(count, 6, dtype=dtype))


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_identity_view_reproduces_depth_and_image_without_holes(backend):
    depth = bump()
    viewed = depth_surface.view_surface(depth, identity(), CAMERA, backend=backend)
    assert viewed.mask.all()
    assert torch.allclose(viewed.depth, depth, atol=2e-4)
    image = torch.rand(2, 3, *CAMERA.size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(viewed.sample(image), image, atol=2e-3)


def test_grid_faces_face_the_camera():
    points = CAMERA.project(depth_surface.points_from_depth(bump(1), CAMERA).view(1, -1, 3))[0]
    a, b, c = points[depth_surface.grid_faces(*CAMERA.size)][..., :2].unbind(1)
    assert len(a) == 2 * 23 * 31
    assert ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0).all()


def test_normals_of_a_plane_and_of_the_bump():
    camera = CanonicalCamera((20, 20))
    pixels = depth_surface.points_from_depth(torch.ones(1, 20, 20), camera)[..., 0]
    slope = 0.3
    depth = 1 / (1 - slope * pixels)  # the plane z = 1 + slope x
    normals = depth_surface.normals_from_depth(depth, camera)
    expected = torch.tensor([-slope, 0, 1]) / (1 + slope**2) ** 0.5
    assert torch.allclose(normals[0, 1:-1, 1:-1], expected.expand(18, 18, 3), atol=1e-3)
    assert torch.equal(normals[0, 0, 5], torch.tensor([0.0, 0, 1]))
    tilted = depth_surface.normals_from_depth(bump(1, (33, 33)), CanonicalCamera((33, 33)))
    assert torch.allclose(tilted[0, 16, 16], torch.tensor([0.0, 0, 1]), atol=1e-3)
    assert tilted[0, 16, 8, 0] * tilted[0, 16, 24, 0] < 0


def test_turned_view_shows_points_where_projection_puts_them():
    depth = bump(1)
    view = turned(20.0)
    viewed = depth_surface.view_surface(depth, view, CAMERA)
    assert 0.6 < viewed.mask.float().mean() <= 1
    # An image that holds the canonical position itself: where sampled, it must say where the pixel came from.
    height, width = CAMERA.size
    x = (torch.arange(width) + 0.5).expand(1, 1, height, width)
    y = (torch.arange(height) + 0.5)[:, None].expand(1, 1, height, width)
    source = viewed.sample(torch.cat([x, y], 1).contiguous())[0].permute(1, 2, 0)
    inner = viewed.mask[0] & (viewed.grid[0].abs() < 0.9).all(-1)
    canonical = viewed.grid[0, inner] * torch.tensor([width, height]) / 2 + torch.tensor([width, height]) / 2
    assert torch.allclose(source[inner], canonical, atol=1e-3)
    # And canonical depth there, moved by the view, is the view's depth.
    at_source = viewed.sample(depth[:, None])[0, 0][inner]
    moved = CAMERA.project(view.apply(CAMERA.unproject(source[inner], at_source)[None]))[0]
    row, column = inner.nonzero().unbind(1)
    assert torch.allclose(moved[:, 0], column + 0.5, atol=0.05)
    assert torch.allclose(moved[:, 1], row + 0.5, atol=0.05)


def test_to_the_view_and_back():
    size = (48, 48)
    camera = CanonicalCamera(size)
    depth, view = bump(1, size), turned(25.0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)), size=size, mode="bicubic"
    )
    viewed = depth_surface.view_surface(depth, view, camera)
    back, seen = depth_surface.unwarp_to_canonical(viewed.sample(smooth), depth, viewed, view, camera)
    seen = seen & (depth_surface.view_grid(depth, view, camera).abs() < 0.9).all(-1)
    assert 0.3 < seen.float().mean() < 1
    assert (back - smooth).abs().mean(1)[seen].mean() < 0.02


def test_hidden_parts_are_not_seen():
    size = (48, 48)
    camera = CanonicalCamera(size)
    depth = torch.full((1, 48, 48), 1.05)
    depth[:, :, 20:28] = 0.95  # a wall in the middle hides one side of itself when turned
    view = turned(40.0)
    viewed = depth_surface.view_surface(depth, view, camera)
    _, seen = depth_surface.unwarp_to_canonical(torch.zeros(1, 3, *size), depth, viewed, view, camera)
    share = seen[0, 10:38].float().mean(0)
    sides = (share[12:19].mean().item(), share[29:36].mean().item())
    assert min(sides) < 0.3 and max(sides) > 0.7


def test_empty_pixels_are_far_and_unmasked():
    viewed = depth_surface.view_surface(bump(1), turned(60.0), CAMERA)
    assert not viewed.mask.all()
    assert (viewed.depth[~viewed.mask] == 1.2).all()
    assert viewed.depth.min() >= 0.8


def test_gradients_equal_finite_differences_of_depth_surface():
    camera = CanonicalCamera((6, 7))
    depth = bump(1, (6, 7), torch.float64).requires_grad_()
    outputs = torch.tensor([[0.11, 0.23, -0.07, 0.02, 0.03, 0.0]], dtype=torch.float64, requires_grad=True)

    def warp(depth, outputs):
        viewed = depth_surface.view_surface(depth, view_from_network(outputs), camera)
        return viewed.depth, viewed.grid

    # Only where no pixel centre changes its triangle: the step is far smaller than the distance to any edge.
    assert torch.autograd.gradcheck(warp, (depth, outputs), eps=1e-7, atol=1e-4, nondet_tol=0)
