import numpy as np
import torch

from backend.rendering.camera import (
    Camera,
    CanonicalCamera,
    PerspectiveCameras,
    rotation_from_axis_angle,
    rotation_from_euler,
    view_from_network,
)


def cameras() -> list[Camera]:
    rng = np.random.default_rng(0)
    result = []
    for focal in (300.0, 800.0):
        pose = np.eye(4)
        pose[:3, :3] = rotation_from_euler(torch.tensor(rng.normal(size=3))).numpy()
        pose[:3, 3] = [0.1, -0.2, 1.5]
        result.append(Camera(np.array([[focal, 0, 50], [0, focal, 40], [0, 0, 1]]), pose, (100, 80)))
    return result


def test_torch_cameras_project_like_the_numpy_ones():
    points = np.random.default_rng(1).normal(size=(7, 3)) * 0.1
    intrinsics, poses = (
        torch.tensor(np.stack([getattr(camera, name) for camera in cameras()]))
        for name in ("intrinsics", "camera_from_head")
    )
    batch = PerspectiveCameras(intrinsics, poses[:, :3, :3], poses[:, :3, 3])
    projected = batch.project(torch.tensor(points)[None])
    for one, camera in zip(projected, cameras(), strict=True):
        np.testing.assert_allclose(one.numpy(), camera.project(points), rtol=1e-12)


def test_rotations():
    about_z = rotation_from_axis_angle(torch.tensor([0, 0, torch.pi / 2]))
    assert torch.allclose(about_z @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6)
    vectors = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    for matrices in (rotation_from_axis_angle(vectors), rotation_from_euler(vectors)):
        assert torch.allclose(matrices @ matrices.transpose(1, 2), torch.eye(3, dtype=torch.float64).expand(9, 3, 3))
        assert torch.allclose(torch.linalg.det(matrices), torch.ones(9, dtype=torch.float64))
    x, y, z = (
        rotation_from_axis_angle(a * torch.eye(3, dtype=torch.float64)[i]) for i, a in enumerate((0.3, 0.5, 0.7))
    )
    assert torch.allclose(rotation_from_euler(torch.tensor([0.3, 0.5, 0.7], dtype=torch.float64)), z @ y @ x)
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_from_axis_angle, zero)
    tiny = torch.full((1, 3), 1e-4, dtype=torch.float64)
    assert torch.allclose(rotation_from_axis_angle(tiny)[0], torch.linalg.matrix_exp(_cross(tiny[0])), atol=1e-14)


def _cross(v: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros((), dtype=v.dtype)
    return torch.stack([zero, -v[2], v[1], v[2], zero, -v[0], -v[1], v[0], zero]).view(3, 3)


def test_canonical_camera_spans_ten_degrees_between_outermost_pixel_centres():
    camera = CanonicalCamera((64, 64))
    ends = camera.unproject(torch.tensor([[0.5, 32.0], [63.5, 32.0]]), torch.ones(2))
    angle = torch.atan2(ends[1, 0], ends[1, 2]) - torch.atan2(ends[0, 0], ends[0, 2])
    assert abs(torch.rad2deg(angle).item() - 10) < 1e-4
    pixels, depth = torch.rand(5, 2) * 64, torch.rand(5) + 0.5
    back = camera.project(camera.unproject(pixels, depth))
    assert torch.allclose(back, torch.cat([pixels, depth[:, None]], 1), atol=1e-4)


def test_view_turns_about_the_pivot_and_back():
    outputs = torch.tensor([[0.5, -1.0, 0.25, 1.0, -0.5, 1.0], [0.0, 0, 0, 0, 0, 0]], dtype=torch.float64)
    view = view_from_network(outputs)
    points = torch.randn(2, 4, 5, 3, dtype=torch.float64)
    assert torch.allclose(view.undo(view.apply(points)), points)
    assert torch.allclose(view.apply(points)[1], points[1])
    pivot = torch.tensor([0, 0, 1.0], dtype=torch.float64).expand(2, 1, 3)
    assert torch.allclose(view.apply(pivot)[0, 0], torch.tensor([0.1, -0.05, 1.0], dtype=torch.float64))
    half = rotation_from_euler(torch.deg2rad(torch.tensor([30.0, -60, 15], dtype=torch.float64)))
    assert torch.allclose(view.rotation[0], half)
