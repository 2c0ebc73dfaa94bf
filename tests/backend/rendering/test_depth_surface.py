import pytest
import torch

from backend.rendering.camera import CanonicalCamera, View, rotation_from_euler, view_from_network
from backend.rendering.depth_surface import (
    grid_faces,
    normals_from_depth,
    points_from_depth,
    unwarp_to_canonical,
    view_grid,
    view_surface,
)

CAMERA = CanonicalCamera((24, 32))


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
    viewed = view_surface(depth, identity(), CAMERA, backend=backend)
    assert viewed.mask.all()
    assert torch.allclose(viewed.depth, depth, atol=2e-4)
    image = torch.rand(2, 3, *CAMERA.size, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(viewed.sample(image), image, atol=2e-3)


def test_grid_faces_face_the_camera():
    points = CAMERA.project(points_from_depth(bump(1), CAMERA).view(1, -1, 3))[0]
    a, b, c = points[grid_faces(*CAMERA.size)][..., :2].unbind(1)
    assert len(a) == 2 * 23 * 31
    assert ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0).all()


def test_normals_of_a_plane_and_of_the_bump():
    camera = CanonicalCamera((20, 20))
    pixels = points_from_depth(torch.ones(1, 20, 20), camera)[..., 0]
    slope = 0.3
    depth = 1 / (1 - slope * pixels)  # the plane z = 1 + slope x
    normals = normals_from_depth(depth, camera)
    expected = torch.tensor([-slope, 0, 1]) / (1 + slope**2) ** 0.5
    assert torch.allclose(normals[0, 1:-1, 1:-1], expected.expand(18, 18, 3), atol=1e-3)
    assert torch.equal(normals[0, 0, 5], torch.tensor([0.0, 0, 1]))
    tilted = normals_from_depth(bump(1, (33, 33)), CanonicalCamera((33, 33)))
    assert torch.allclose(tilted[0, 16, 16], torch.tensor([0.0, 0, 1]), atol=1e-3)
    assert tilted[0, 16, 8, 0] * tilted[0, 16, 24, 0] < 0


def test_turned_view_shows_points_where_projection_puts_them():
    depth = bump(1)
    view = turned(20.0)
    viewed = view_surface(depth, view, CAMERA)
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
    viewed = view_surface(depth, view, camera)
    back, seen = unwarp_to_canonical(viewed.sample(smooth), depth, viewed, view, camera)
    seen = seen & (view_grid(depth, view, camera).abs() < 0.9).all(-1)
    assert 0.3 < seen.float().mean() < 1
    assert (back - smooth).abs().mean(1)[seen].mean() < 0.02


def test_hidden_parts_are_not_seen():
    size = (48, 48)
    camera = CanonicalCamera(size)
    depth = torch.full((1, 48, 48), 1.05)
    depth[:, :, 20:28] = 0.95  # a wall in the middle hides one side of itself when turned
    view = turned(40.0)
    viewed = view_surface(depth, view, camera)
    _, seen = unwarp_to_canonical(torch.zeros(1, 3, *size), depth, viewed, view, camera)
    share = seen[0, 10:38].float().mean(0)
    sides = (share[12:19].mean().item(), share[29:36].mean().item())
    assert min(sides) < 0.3 and max(sides) > 0.7


def test_empty_pixels_are_far_and_unmasked():
    viewed = view_surface(bump(1), turned(60.0), CAMERA)
    assert not viewed.mask.all()
    assert (viewed.depth[~viewed.mask] == 1.2).all()
    assert viewed.depth.min() >= 0.8


def test_gradients_equal_finite_differences():
    camera = CanonicalCamera((6, 7))
    depth = bump(1, (6, 7), torch.float64).requires_grad_()
    outputs = torch.tensor([[0.11, 0.23, -0.07, 0.02, 0.03, 0.0]], dtype=torch.float64, requires_grad=True)

    def warp(depth, outputs):
        viewed = view_surface(depth, view_from_network(outputs), camera)
        return viewed.depth, viewed.grid

    # Only where no pixel centre changes its triangle: the step is far smaller than the distance to any edge.
    assert torch.autograd.gradcheck(warp, (depth, outputs), eps=1e-7, atol=1e-4, nondet_tol=0)
