"""Cameras, depth of what they see, and what hides what."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.geometry.vectors import vertex_normals
from backend.rendering import camera as views
from backend.rendering.rasterize import depth_map, facing_cosine, point_visibility

FACING = np.diag([1.0, -1, -1, 1])  # camera on the +z axis, looking back at the head


def cameras() -> list[views.Camera]:
    rng = np.random.default_rng(0)
    result = []
    for focal in (300.0, 800.0):
        pose = np.eye(4)
        pose[:3, :3] = views.rotation_from_euler(torch.tensor(rng.normal(size=3))).numpy()
        pose[:3, 3] = [0.1, -0.2, 1.5]
        result.append(views.Camera(np.array([[focal, 0, 50], [0, focal, 40], [0, 0, 1]]), pose, (100, 80)))
    return result


def test_torch_cameras_project_like_the_numpy_ones():
    points = np.random.default_rng(1).normal(size=(7, 3)) * 0.1
    intrinsics, poses = (
        torch.tensor(np.stack([getattr(camera, name) for camera in cameras()]))
        for name in ("intrinsics", "camera_from_head")
    )
    batch = views.PerspectiveCameras(intrinsics, poses)
    projected = batch.project(torch.tensor(points)[None])
    for one, camera in zip(projected, cameras(), strict=True):
        np.testing.assert_allclose(one.numpy(), camera.project(points), rtol=1e-12)


def test_rotations():
    about_z = views.rotation_from_axis_angle(torch.tensor([0, 0, torch.pi / 2]))
    assert torch.allclose(about_z @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6)
    vectors = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    for matrices in (views.rotation_from_axis_angle(vectors), views.rotation_from_euler(vectors)):
        assert torch.allclose(matrices @ matrices.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(9, 3, 3))
        assert torch.allclose(torch.linalg.det(matrices), torch.ones(9, dtype=torch.float64))
    x, y, z = (
        views.rotation_from_axis_angle(a * torch.eye(3, dtype=torch.float64)[i]) for i, a in enumerate((0.3, 0.5, 0.7))
    )
    assert torch.allclose(views.rotation_from_euler(torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64)), z @ y @ x)
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(views.rotation_from_axis_angle, zero)
    tiny = torch.full((1, 3), 1e-4, dtype=torch.float64)
    assert torch.allclose(views.rotation_from_axis_angle(tiny)[0], torch.linalg.matrix_exp(_cross(tiny[0])), atol=1e-14)


def _cross(v: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros((), dtype=v.dtype)
    return torch.stack([zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]).view(3, 3)


def test_canonical_camera_spans_ten_degrees_between_outermost_pixel_centres():
    camera = views.CanonicalCamera((64, 64))
    ends = camera.unproject(torch.tensor([[0.5, 32.0], [63.5, 32.0]]), torch.ones(2))
    angle = torch.atan2(ends[1, 0], ends[1, 2]) - torch.atan2(ends[0, 0], ends[0, 2])
    assert abs(torch.rad2deg(angle).item() - 10) < 1e-4
    pixels, depth = torch.rand(5, 2) * 64, torch.rand(5) + 0.5
    back = camera.project(camera.unproject(pixels, depth))
    assert torch.allclose(back, torch.cat([pixels, depth[:, None]], 1), atol=1e-4)


def test_view_turns_about_the_pivot_and_back():
    outputs = torch.tensor([[0.5, -1.0, 0.25, 1.0, -0.5, 1.0], [0.0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    view = views.view_from_network(outputs)
    points = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    assert torch.allclose(view.undo(view.apply(points)), points)
    assert torch.allclose(view.apply(points)[1], points[1])
    pivot = torch.tensor([0, 0, 1.0], dtype=torch.float64).expand(2, 1, 3)
    assert torch.allclose(view.apply(pivot)[0, 0], torch.tensor([0.1, -0.05, 1.0], dtype=torch.float64))
    half = views.rotation_from_euler(torch.deg2rad(torch.tensor([30.0, -60, 15], dtype=torch.float64)))
    assert torch.allclose(view.rotation[0], half)


def camera(distance: float = 0.6, size: tuple[int, int] = (160, 120), focal: float = 300.0) -> views.Camera:
    pose = FACING.copy()
    pose[2, 3] = distance
    return views.Camera(np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1.0]]), pose, size)


def sphere(radius: float = 0.1, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A closed sphere of n * n/2 vertices, counter-clockwise from outside."""
    around, along = np.meshgrid(2 * np.pi * np.arange(n) / n, np.pi * np.arange(1, n // 2) / (n // 2), indexing="ij")
    points = np.stack([np.sin(along) * np.sin(around), np.cos(along), np.sin(along) * np.cos(around)], -1)
    index = np.arange(points.shape[0] * points.shape[1]).reshape(points.shape[:2])
    nextcol = np.roll(index, -1, 0)
    quads = np.stack([index[:, :-1], index[:, 1:], nextcol[:, 1:], nextcol[:, :-1]], -1).reshape(-1, 4)
    top, bottom = index.size, index.size + 1
    caps = [[top, a, b] for a, b in zip(index[:, 0], nextcol[:, 0], strict=True)]
    caps += [[bottom, b, a] for a, b in zip(index[:, -1], nextcol[:, -1], strict=True)]
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], np.array(caps)])
    return radius * np.concatenate([points.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]]), faces


def seen_from(vertices: np.ndarray, faces: np.ndarray, view: views.Camera) -> np.ndarray:
    """(V,) in [0, 1]: neither turned away nor hidden."""
    seen = point_visibility(vertices, view, depth_map(vertices, faces, view))
    return np.where(facing_cosine(vertices, vertex_normals(vertices, faces), view) > 0, seen, 0.0)


def test_depth_of_a_sphere():
    vertices, faces = sphere(n=128)
    view = camera()
    depth = depth_map(vertices, faces, view)
    assert depth.shape == (120, 160) and depth.dtype == np.float32
    row, column = np.mgrid[:120, :160]
    ray = np.stack([(column + 0.5 - 80) / 300, (row + 0.5 - 60) / 300, np.ones(depth.shape)], -1)
    # |t ray - (0, 0, d)| = r, the nearer root
    a, b, c = (ray**2).sum(-1), -2 * ray[..., 2] * 0.6, 0.6**2 - 0.1**2
    root = b * b - 4 * a * c
    hit = root > 0
    assert (np.isfinite(depth) == hit).mean() > 0.99
    both = hit & np.isfinite(depth)
    np.testing.assert_allclose(depth[both], ((-b - np.sqrt(np.maximum(root, 0))) / (2 * a))[both], atol=2.5e-3)


@pytest.mark.parametrize("focal", [150.0, 300.0, 900.0])
def test_sphere_front_is_seen_and_back_is_not(focal):
    vertices, faces = sphere()
    view = camera(focal=focal, size=(400, 400))
    seen = seen_from(vertices, faces, view)
    facing = facing_cosine(vertices, vertices / 0.1, view)
    assert (seen[facing > 0.12] > 0.99).all()
    assert (seen[facing < -0.05] == 0).all()
    assert (facing > 0.12).sum() > 300


def test_a_ball_in_front_hides_what_is_behind_it():
    back, faces = sphere(0.1)
    front, _ = sphere(0.03)
    both = np.concatenate([back, front + np.array([0.0, 0, 0.25])])
    triangles = np.concatenate([faces, faces + len(back)])
    view = camera(size=(400, 400), focal=900.0)
    seen = seen_from(both, triangles, view)[: len(back)]
    projected, ball = view.project(back), view.project(np.array([[0, 0, 0.25]]))[0]
    radius = np.linalg.norm(projected[:, :2] - ball[:2], axis=1)
    outline = 900 * 0.03 / np.sqrt(0.35**2 - 0.03**2)
    facing = facing_cosine(back, back / 0.1, view) > 0.2
    assert (seen[facing & (radius < outline - 2)] == 0).all()
    assert (seen[facing & (radius > outline + 2)] > 0.99).all()
    assert (facing & (radius < outline - 2)).sum() > 30


def test_points_and_pictures_end():
    vertices, faces = sphere()
    view = camera()
    depth = depth_map(vertices, faces, view)
    points = np.array([[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.05], [0, 0, -0.2], [0, 0, 0.7], [5.0, 0, 0], [0.14, 0, 0]])
    seen = point_visibility(points, view, depth)
    np.testing.assert_allclose(seen, [1, 1, 0, 0, 0, 0, 1])


def test_bias_lets_shallow_points_through():
    vertices, faces = sphere()
    view = camera()
    depth = depth_map(vertices, faces, view)
    under = np.array([[0.0, 0, 0.096]])
    assert point_visibility(under, view, depth, bias=0.001)[0] == 0
    assert point_visibility(under, view, depth, bias=0.006)[0] == 1
